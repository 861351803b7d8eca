"""One photo explained by one method: its maps, its pictures, and its entry in the manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from naflow import plot
from naflow.atomic import replacing
from naflow.cli import pictures
from naflow.cli.manifest import MAPS
from naflow.errors import printable
from naflow.flow import Flow
from naflow.hashes import sha256
from naflow.outputs import class_logits
from naflow.scores import ClassContrast, ClassLogit, Score

_TOP = 5


@dataclass(frozen=True)
class Result:
    """One image of a flow.

    row      the image's number in the flow's batch
    square   the pixels that the network saw, (H, W, 3) uint8
    score    the score that was explained
    classes  class names in order, None if unknown
    """

    flow: Flow
    row: int
    square: np.ndarray
    score: Score
    classes: list[str] | None

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """The raw map (h, w) of each layer."""
        return {layer: maps[self.row].cpu().numpy() for layer, maps in self.flow}

    def predictions(self) -> list[dict[str, Any]]:
        """Return the five most probable classes, most probable first; [] for an embedding."""
        if self.flow.prediction is None:
            return []
        confidence = self._confidence.cpu()
        order = confidence.argsort(descending=True, stable=True)[:_TOP]
        return [self._class(int(i)) | {"confidence": rounded(confidence[i])} for i in order]

    def explained(self) -> dict[str, Any]:
        """Return the score and, unless it is an embedding's, the explained class with its
        probability."""
        score: dict[str, Any] = {"score": rounded(self.flow.score[self.row])}
        if not isinstance(self.score, (ClassLogit, ClassContrast)):
            return score
        chosen = self.score.index
        index = chosen if isinstance(chosen, int) else int(self._confidence.argmax())
        if isinstance(chosen, list):
            index = chosen[self.row]
        return self._class(index) | {"confidence": rounded(self._confidence[index])} | score

    @property
    def _confidence(self) -> Tensor:
        """The probability of each class, (classes,)."""
        return class_logits(self.flow.output)[self.row].softmax(0)

    def _class(self, index: int) -> dict[str, Any]:
        return {"index": index, "name": self.classes[index] if self.classes else None}

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return the LayerStats of this image, layer -> field -> value; {} if there are none."""
        return {
            layer: {
                "rule": stats.rule,
                "iterations": int(stats.iterations[self.row]),
                "residual": rounded(stats.residual[self.row]),
                "stop": stats.stop[self.row].name.lower(),
                "norm_ratio": rounded(stats.norm_ratio[self.row]),
                "abandoned": rounded(stats.abandoned[self.row]),
            }
            for layer, stats in self.flow.stats.items()
        }

    def predicted(self) -> str:
        """Return the most probable classes as text, "" for an embedding."""
        classes = [
            f"{one['name'] or 'class ' + str(one['index'])} {one['confidence']:.1%}"
            for one in self.predictions()
        ]
        return f"Predicted: {', '.join(classes)}." if classes else ""

    def said(self) -> str:
        """Return what is explained as text: the class and its probability, else the score."""
        explained = self.explained()
        if "index" not in explained:
            return f"score {explained['score']:.3g}"
        share = explained["confidence"]
        probability = f"{share:.0%}" if share >= 0.01 else "below 1%"
        return (
            f"{printable(explained['name'] or 'class ' + str(explained['index']))} ({probability})"
        )

    def told(self) -> str:
        """Return the caption of a picture: the most probable classes, and what the colours mean."""
        return "\n".join(filter(None, (self.predicted(), plot.CONVENTION)))

    def overlays(self) -> dict[str, np.ndarray]:
        """Return each layer's map drawn over the photo, (H, W, 3) in [0, 1]."""
        return {layer: plot.overlay(self.square / 255, one) for layer, one in self.maps.items()}

    def write(self, folder: Path, within: str, title: str) -> dict[str, Any]:
        """Write maps.npz, strip.png and one overlay per layer to folder/within. Return the entry
        for the manifest."""
        files, maps = [f"{within}/{MAPS}", f"{within}/strip.png"], self.maps
        with replacing(folder / files[0]) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **maps)
        overlays = self.overlays()
        with replacing(folder / files[1]) as partial:
            pictures.strip(partial, self.square / 255, overlays, title, self.told())
        for number, (layer, overlay) in enumerate(overlays.items(), 1):
            name = re.sub(r"[^\w.#-]", "_", layer)
            files.append(f"{within}/{number:02d}-{name}.png")
            with replacing(folder / files[-1]) as partial:
                pictures.png(partial, overlay)
        return {
            "explained": self.explained(),
            "layers": list(maps),
            "statistics": self.statistics(),
            "files": {file: sha256(folder / file) for file in files},
        }


def rounded(value: Tensor) -> float:
    """Round to six significant digits, about the precision of float32."""
    return float(f"{float(value):.6g}")
