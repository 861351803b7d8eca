"""What the paper's text says of its figures, as checks; one family of claims a file.

A definition is our reading of the text, and each claim says it beside its numbers.
"""
