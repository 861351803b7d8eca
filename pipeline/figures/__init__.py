"""One kind of figure a file: each draws from finished maps and returns a matplotlib figure."""
