"""The figures, one kind per file: each draws from finished maps and returns a matplotlib figure."""
