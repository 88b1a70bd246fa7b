"""The photo family: gray and colour pictures of any size, as a grid of latents and the pixels given it."""
