"""The run that happened: the model's own forward pass, written down and cut into units."""
