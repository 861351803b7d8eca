"""Hard samples: pictures that a classifier finds hard, masked by its attention, for fine-tuning.

This is the second use of CF-CAM that its abstract names: Sun, Shi and Wang, JEIT 45(4), 2023. Only
the abstract was available to us; every choice that it leaves open is marked as such.
"""
