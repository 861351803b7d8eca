"""Masks of the evidence for a picture's class, from the maps of one layer."""

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from naflow.explainer import Explainer
from naflow.explainers import GradCAM, image_masks
from naflow.scores import ClassLogit
from pipeline.pictures.pixels import normalised


def attended(
    explainer: Explainer,
    images: Tensor,
    labels: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    layer: str | None = None,
    threshold: float | None = None,
    batch: int = 8,
    quiet: bool | None = None,
) -> Tensor:
    """Return masks (B, 1, H, W) in [0, 1], on the CPU, of uint8 images (B, 3, H, W); all 0 for an
    image without evidence for the class. See naflow.explainers.image_masks.

    labels     (B,) the classes explained: the true ones, even if the classifier is wrong. Our
               reading: they are known in training, and a view must keep what shows its class
    layer      the layer of the maps; None: the last one
    threshold  None: soft masks; else masks are 1 from this share of the map's maximum on

    Raises BadInput for an unknown layer.
    """
    where = next(explainer.model.parameters()).device
    masks = []
    for start in tqdm(range(0, len(images), batch), desc="masks", disable=quiet):
        part = normalised(images[start : start + batch].to(where), mean, std)
        layer = layer or GradCAM(explainer.model)(part[:1]).layers[-1]  # CF-CAM is expensive
        flow = explainer(part, ClassLogit(labels[start : start + batch]), layers=[layer])
        size = (images.shape[2], images.shape[3])
        masks.append(image_masks(flow, size, layer=layer, threshold=threshold).cpu())
    return torch.cat(masks)
