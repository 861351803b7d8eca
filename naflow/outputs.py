"""What a model returns: the tensor that is explained, and the logits in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from naflow.errors import BadInput, UnsupportedModel

_ENTRIES = ("logits", "out")


def output_tensor(output: object, needs: str = "this method") -> Tensor:
    """Return the tensor of a model's output that is explained: the output itself, its entry or
    attribute `logits` or `out`, or the first item of a tuple.

    Raises BadInput if there is none or it is complex, UnsupportedModel for a detector's boxes.
    """
    found = _first_tensor(output, needs)
    if found.is_complex():
        raise BadInput(
            f"The model returns complex numbers ({found.dtype}), and {needs} needs real ones: let "
            "it end with what is explained of them, as in output.abs()."
        )
    return found


def _first_tensor(output: object, needs: str) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        named = [output[key] for key in _ENTRIES if key in output]
    elif isinstance(output, (tuple, list)) and len(output):
        if isinstance(output[0], Mapping) and "boxes" in output[0]:
            raise UnsupportedModel(
                "The model is a detector: it returns boxes, a different number for every image, "
                "and no score of the image. Explain its backbone, or a classifier."
            )
        named = [output[0]]
    else:
        named = [getattr(output, key) for key in _ENTRIES if hasattr(output, key)]
    if named and isinstance(named[0], Tensor):
        return named[0]
    raise BadInput(
        f"The model returns a {type(output).__name__} without 'logits' or 'out', and {needs} needs "
        "one tensor: give as score a callable from the output to one number an image, as in "
        "score=lambda output: output['scores'][:, 3]."
    )


def class_logits(output: object, name: str = "ClassLogit") -> Tensor:
    """Return the logits (B, classes) of an output. A single logit z, (B,) or (B, 1), decides
    between two classes, whose logits are -z and z. Raises BadInput for other shapes."""
    logits = output_tensor(output, name)
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.ndim != 2:
        raise BadInput(
            f"{name} needs logits of shape (B, classes), the model returns "
            f"{tuple(logits.shape)}: use scores.PixelSet for a segmentation, "
            "scores.ChannelContribution for an embedding, or a callable."
        )
    return torch.cat([-logits, logits], 1) if logits.shape[1] == 1 else logits


def single_logit(output: object) -> bool:
    """Whether the model decides between two classes by the sign of one logit."""
    logits = output_tensor(output)
    return logits.ndim == 1 or logits.shape[1] == 1


def predicted_pixels(logits: Tensor) -> Tensor:
    """Return the predicted class of every pixel: (B, classes, H, W) -> (B, H, W). With one channel,
    1 where its logit is positive, else 0."""
    return logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
