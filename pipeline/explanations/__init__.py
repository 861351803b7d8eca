"""What is explained, what is asked, and the maps that answer, as files."""
