"""Segmentation networks: targets, training objective, evaluation, and explanations."""
