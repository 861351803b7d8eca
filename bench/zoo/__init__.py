"""What naflow reaches: the models of seven packages, each explained and checked, in one table."""
