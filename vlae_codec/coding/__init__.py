"""Entropy coding and bits: numbers in, bytes out, whatever they stand for."""
