"""What is explained: cases and scores; and the maps, as files."""
