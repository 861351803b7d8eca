"""Few-shot episodes: sampling, and three scores that classify a query.

An episode is a table (ways, pictures per class) of picture numbers, support pictures first.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from naflow.errors import BadInput


def episode(labels: Tensor, ways: int, each: int, generator: Generator) -> Tensor:
    """Draw numbers (ways, each) of distinct pictures, uniformly; each row is of one class.

    Raises BadInput for too few classes, or too few pictures in one.
    """
    classes = labels.unique()
    if len(classes) < ways:
        raise BadInput(
            f"An episode of {ways} classes cannot be drawn from {len(classes)}: give fewer ways, "
            "or another group of classes."
        )
    drawn = classes[torch.randperm(len(classes), generator=generator)[:ways]]
    rows = []
    for number in drawn.tolist():
        pictures = (labels == number).nonzero().flatten()
        if len(pictures) < each:
            raise BadInput(
                f"Class {number} has {len(pictures)} pictures, an episode needs {each} of a class: "
                "give fewer shots or queries, or leave the class out with images.select."
            )
        rows.append(pictures[torch.randperm(len(pictures), generator=generator)[:each]])
    return torch.stack(rows)


def cosine(support: Tensor, query: Tensor) -> Tensor:
    """Return Meta-Baseline's scores: cosines to the mean of each class's normalised support.

    support (ways, shots, ...) and query (Q, ...), features or maps -> scores (Q, ways).
    """
    centres = F.normalize(F.normalize(support.flatten(2), dim=2).mean(1), dim=1)
    return F.normalize(query.flatten(1), dim=1) @ centres.T


def euclidean(support: Tensor, query: Tensor) -> Tensor:
    """Return prototypical networks' scores (Snell et al., 2017): -|query - class mean|^2.

    support (ways, shots, ...) and query (Q, ...) -> scores (Q, ways).
    """
    centres = support.flatten(2).mean(1)
    return -torch.cdist(query.flatten(1), centres).square()


def local_descriptors(support: Tensor, query: Tensor, nearest: int = 3) -> Tensor:
    """Return DN4's scores (Li et al., 2019, Eq. 3): a k-nearest-neighbour sum over descriptors.

    Sums the cosines of each query descriptor to its `nearest` ones among all descriptors of a
    class. support (ways, shots, C, h, w) and query (Q, C, h, w) -> scores (Q, ways).
    """
    places = F.normalize(query.flatten(2), dim=1).transpose(1, 2)  # (Q, hw, C)
    pool = F.normalize(support.flatten(3), dim=2).permute(0, 2, 1, 3).flatten(2)  # (ways, C, s hw)
    return torch.stack([(places @ one).topk(nearest, dim=2).values.sum((1, 2)) for one in pool], 1)
