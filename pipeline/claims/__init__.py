"""The claims that the paper's text makes about its figures, as checks; one kind per file.

Each definition is our reading of the text; every claim states it together with its numbers.
"""
