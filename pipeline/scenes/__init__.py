"""The embedded scenes: their objects, and how they are drawn."""
