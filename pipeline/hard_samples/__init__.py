"""Pictures that a classifier finds hard, and what it attends to in them, as views to learn from.

The second use of CF-CAM that its abstract names: Sun, Shi and Wang, JEIT 45(4), 2023. Only the
abstract could be read; what it leaves open is said where it is chosen.
"""
