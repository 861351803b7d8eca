"""What is checked of the images before any expensive work."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from naflow.errors import BadInput
from naflow.finite import not_finite


def check_images(model: nn.Module, images: Tensor) -> None:
    """Raise BadInput, in one sentence, where the images cannot go through the model."""
    if not isinstance(images, Tensor):
        raise BadInput(f"images is a {type(images).__name__}: give a tensor of shape (B, C, H, W).")
    if images.ndim != 4:
        hint = " Add the batch axis with images[None]." if images.ndim == 3 else ""
        raise BadInput(f"images has shape {tuple(images.shape)}: it must be (B, C, H, W).{hint}")
    if images.numel() == 0:
        raise BadInput(f"images has shape {tuple(images.shape)}: there is nothing to explain.")
    if not images.is_floating_point():
        raise BadInput(
            f"images are {images.dtype}: convert them with .float() and scale them as in training "
            "(for most models: divide by 255, subtract the mean, divide by the deviation)."
        )
    weight = next((p for p in model.parameters() if p.is_floating_point()), images)
    if weight.dtype in (torch.float16, torch.bfloat16):
        raise BadInput(
            f"The model's weights are {weight.dtype}, too coarse to invert: use model.float()."
        )
    if images.dtype != weight.dtype:
        raise BadInput(
            f"images are {images.dtype}, the model's weights {weight.dtype}: convert one of them, "
            f"as in images.to({weight.dtype})."
        )
    if images.device != weight.device:
        raise BadInput(
            f"images are on {images.device}, the model on {weight.device}: "
            f"move them with images.to('{weight.device}')."
        )
    wrong = not_finite(images)
    if wrong:
        raise BadInput(f"images {wrong} hold NaN or infinite pixels: mend or drop them.")
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise BadInput(
            f"{type(model).__name__} has no Conv2d: NAFlow explains convolutional networks."
        )
