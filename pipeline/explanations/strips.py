"""Strips of maps for the log: one per case, its picture under every map."""

from collections.abc import Sequence

import numpy as np

from naflow import Flow
from naflow.plot import CONVENTION, overlay
from pipeline.explanations.batches import Batch
from pipeline.tracking import Run


def show(run: Run, batch: Batch, flow: Flow) -> None:
    """Log one strip for each case of a batch, maps shallow to deep."""
    maps = [flow.maps[layer].detach().cpu().numpy() for layer in flow.layers]
    for row, (case, image) in enumerate(zip(batch.cases, batch.images, strict=True)):
        drawn = strip(image.permute(1, 2, 0).numpy(), [values[row] for values in maps])
        caption = f"{flow.method}, {' ~ '.join(case.pictures)}. {CONVENTION}"
        run.picture("flow", drawn, caption=caption)


def strip(image: np.ndarray, attention: Sequence[np.ndarray]) -> np.ndarray:
    """Draw the image (H, W, 3) uint8 under each of L maps, side by side: (H, L*W, 3) uint8."""
    panels = [overlay(image / 255, one) for one in attention]
    return (np.concatenate(panels, axis=1) * 255).astype(np.uint8)
