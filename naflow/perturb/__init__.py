"""The model asked again: masked images, and layers of which a part is taken away."""
