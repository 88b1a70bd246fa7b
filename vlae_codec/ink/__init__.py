"""Two colours at any size, exactly: contexts that adapt to the picture, and a small network, mixed online."""
