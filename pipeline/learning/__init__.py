"""Training: augmentation, curriculum, objectives, and the training loop."""
