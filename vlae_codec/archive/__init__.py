"""Archives: many pictures in one file, in chunks that decode on their own."""
