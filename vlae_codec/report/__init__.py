"""What is measured of a codec, and how it is shown."""
