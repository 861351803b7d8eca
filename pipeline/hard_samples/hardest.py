"""Which pictures a classifier finds hard."""

import torch
from torch import Tensor

from naflow.errors import BadInput


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the probability of each picture's own class less the highest of the others, (N,):
    negative if the classifier is wrong. From logits (N, K), K >= 2, and labels (N,)."""
    probability = logits.softmax(1)
    own = probability.gather(1, labels[:, None])[:, 0]
    return own - probability.scatter(1, labels[:, None], -torch.inf).amax(1)


def hardest(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """Return the indices of the `share` of pictures with the lowest margins, at least one, hardest
    first: the misclassified ones, then the least certain. That these are the hard samples is our
    reading.

    Raises BadInput for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise BadInput(f"finetune.hard={share}: it is a share of the pictures, in (0, 1].")
    order = margins(logits, labels).argsort(stable=True)
    return order[: max(1, round(share * len(order)))]
