"""Networks as the configuration describes them, their weights and their outputs."""
