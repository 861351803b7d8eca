"""The training objectives of the nine networks, one per file."""

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
