"""The stages that make the figures; each stage of dvc.yaml is a Hydra app that can be run alone."""
