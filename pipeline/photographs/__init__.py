"""Photographs that scikit-image brings, and the stated outputs of published networks for them."""
