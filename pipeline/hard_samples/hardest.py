"""Which pictures a classifier finds hard."""

import torch
from torch import Tensor

from naflow.errors import BadInput


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """(N,) the probability of a picture's own class less the highest of the others: negative where
    the classifier is wrong. From logits (N, K), K >= 2, and labels (N,)."""
    found = logits.softmax(1)
    own = found.gather(1, labels[:, None])[:, 0]
    return own - found.scatter(1, labels[:, None], -torch.inf).amax(1)


def hardest(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """Numbers of the `share` of the pictures with the lowest margins, the hardest first, at least
    one: the wrong ones, then the least sure. Which samples are hard is our reading.

    Raises BadInput for a share out of (0, 1].
    """
    if not 0 < share <= 1:
        raise BadInput(f"finetune.hard={share}: it is a share of the pictures, in (0, 1].")
    order = margins(logits, labels).argsort(stable=True)
    return order[: max(1, round(share * len(order)))]
