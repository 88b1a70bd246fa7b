"""Exact arithmetic: what gives the same integers on every machine, whatever model uses it."""
