"""The embedded scenes: what they show, and how they are drawn."""
