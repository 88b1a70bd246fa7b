"""The field family: 28x28 pieces of two-level pictures, the model of the paper."""
