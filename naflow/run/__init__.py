"""The model's own forward pass, recorded and cut into units."""
