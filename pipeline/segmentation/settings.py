"""Read the configuration of the stages `segment` and `regions`."""

from hydra.utils import instantiate
from omegaconf import DictConfig

from naflow.errors import BadInput
from pipeline.pictures.images import Part
from pipeline.segmentation.targets import Labelled, labelled


def settings(cfg: DictConfig) -> DictConfig:
    """Return the group `segment`. Raises BadInput if none was chosen."""
    if "segment" not in cfg:
        raise BadInput(
            "Nothing says what to segment. Name one of conf/segment, as in +segment=shapes."
        )
    return cfg.segment


def labelled_part(cfg: DictConfig, which: str) -> Labelled:
    """Read the pictures and targets of `segment.learns` or `segment.test`."""
    asked = settings(cfg)
    shape = asked.model.input
    part = Part(**asked[which])
    targets = instantiate(asked.targets)
    return labelled(instantiate(asked.images), part, targets, shape.size, shape.fit, cfg.quiet)
