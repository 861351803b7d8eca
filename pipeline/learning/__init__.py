"""How networks learn: views of pictures, objectives, and the loop."""
