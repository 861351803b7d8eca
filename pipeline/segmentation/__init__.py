"""Networks that name every pixel: what they learn, how good they are, what is asked of them."""
