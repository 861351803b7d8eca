"""The validation metrics of maps: the scores explained, what is measured, and its statistics."""
