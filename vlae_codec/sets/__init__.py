"""Sets of images on disk: folders, zip and tar files, arrays; read, described and restored."""
