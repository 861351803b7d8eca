"""The ways in which the nine networks are trained, one a file."""

from pipeline.learning.objectives.classification import Classification
from pipeline.learning.objectives.instance_discrimination import InstanceDiscrimination
from pipeline.learning.objectives.meta_baseline import MetaBaseline
from pipeline.learning.objectives.multi_similarity import MultiSimilarity
from pipeline.learning.objectives.objective import Objective

__all__ = [
    "Classification",
    "InstanceDiscrimination",
    "MetaBaseline",
    "MultiSimilarity",
    "Objective",
]
