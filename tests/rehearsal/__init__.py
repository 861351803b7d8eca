"""Rehearse the day with a GPU: the profile `paper`, on stand-ins in the published formats."""
