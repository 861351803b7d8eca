"""Checks of the images before any expensive work."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from naflow.errors import BadInput
from naflow.finite import not_finite

_AXES = {3: "(B, C, L)", 4: "(B, C, H, W)", 5: "(B, C, D, H, W)"}


def check_images(model: nn.Module, images: Tensor) -> None:
    """Raise BadInput if the images cannot be explained with this model.

    Pictures are (B, C, H, W), signals (B, C, L), volumes (B, C, D, H, W), according to the model's
    first convolution.
    """
    if not isinstance(images, Tensor):
        raise BadInput(f"images is a {type(images).__name__}: give a tensor of shape (B, C, H, W).")
    if images.layout != torch.strided or images.device.type == "meta":
        raise BadInput(f"images are {images.layout} on {images.device}: give a plain dense tensor.")
    axes = _axes(model)
    if images.ndim not in axes:
        wanted = " or ".join(_AXES[n] for n in axes)
        hint = " Add the batch axis with images[None]." if images.ndim + 1 in axes else ""
        raise BadInput(f"images has shape {tuple(images.shape)}: it must be {wanted}.{hint}")
    if images.numel() == 0:
        raise BadInput(f"images has shape {tuple(images.shape)}: there is nothing to explain.")
    if not images.is_floating_point():
        raise BadInput(
            f"images are {images.dtype}: convert them with .float() and scale them as in training "
            "(for most models: divide by 255, subtract the mean, divide by the deviation)."
        )
    _check_weights(model, images)
    if wrong := not_finite(images):
        raise BadInput(f"images {wrong} hold NaN or infinite pixels: correct or drop them.")


def _axes(model: nn.Module) -> list[int]:
    """Return how many axes the images may have."""
    for module in model.modules():
        if isinstance(module, _ConvNd) and module.weight is not None and not is_lazy(module.weight):
            return [module.weight.ndim]
    return list(_AXES)  # the convolutions are no modules


def _check_weights(model: nn.Module, images: Tensor) -> None:
    for name, module in model.named_modules():
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            raise BadInput(
                f"The model's layer '{name}' has no weights yet (a lazy layer): run the model once "
                "on images before it is explained."
            )
    weight = next((p for p in model.parameters() if p.is_floating_point()), images)
    if weight.device.type == "meta":
        raise BadInput("The model's weights are on the meta device: they hold no numbers.")
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
