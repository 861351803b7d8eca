"""Photographs that everybody has, and what networks are stated to say of them."""
