"""Networks' decisions: validation metrics, gates, and the selection of pictures for figures."""
