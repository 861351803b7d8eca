"""Which models naflow explains: those of seven packages, each explained and checked, in a table."""
