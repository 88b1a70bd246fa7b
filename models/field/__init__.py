"""Torch for the field family: the VLAE of the paper, its priors, and its export to integers."""
