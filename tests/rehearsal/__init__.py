"""The day with a GPU, rehearsed: the profile `paper` on stand-ins in the published formats."""
