"""Download and unpack files: each is complete and checked, or absent."""
