"""Pictures: files and arrays in and out, two-level drawings, and the fields they are cut into."""
