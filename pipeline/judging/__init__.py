"""What networks decide, how good that is, and which decisions a figure shows."""
