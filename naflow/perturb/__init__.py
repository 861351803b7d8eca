"""Perturbations: the model run again on masked images, or with a part of a layer removed."""
