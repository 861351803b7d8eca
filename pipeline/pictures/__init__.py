"""Folders of pictures, and their pixels."""
