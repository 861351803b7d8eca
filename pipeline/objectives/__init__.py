"""The ways in which the nine networks are trained, one a file."""

from pipeline.objectives.classification import Classification
from pipeline.objectives.instance_discrimination import InstanceDiscrimination
from pipeline.objectives.meta_baseline import MetaBaseline
from pipeline.objectives.multi_similarity import MultiSimilarity
from pipeline.objectives.objective import Objective

__all__ = [
    "Classification",
    "InstanceDiscrimination",
    "MetaBaseline",
    "MultiSimilarity",
    "Objective",
]
