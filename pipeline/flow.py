"""Stage `flow`: the first picture, of a published network on real photographs.

    python -m pipeline.flow drawings=figures

Draws what `naflow demo` draws, as figures/flow.png, with the raw maps as flow.npz, and the
network's prediction for the cat as flow.json, which the report's page reads. Needs no data and no
training: network and photographs are installed. The weights are converted to safetensors once.
"""

import hashlib
from pathlib import Path

import torch
from omegaconf import DictConfig

from naflow import models
from naflow.cli.demo import NETWORK, draw, photograph
from naflow.errors import BadInput
from naflow.models.imagenet import class_names
from naflow.models.preprocessing import normalised
from pipeline.app import stage
from pipeline.atomic import write_json

WEIGHTS = Path("data/weights/photographs") / f"{NETWORK}.safetensors"


@stage
def main(cfg: DictConfig) -> None:
    """Draw."""
    flow(cfg)


def flow(cfg: DictConfig, weights: Path = WEIGHTS) -> Path:
    """Draw the picture into `cfg.drawings`; return its path.

    Raises BadInput if the network or the photographs are not installed.
    """
    if not weights.is_file():
        published = models.installed(NETWORK)
        if published is None:
            raise BadInput(f"{NETWORK} comes in no package: give its weights as {weights}.")
        models.convert(NETWORK, published, weights)
    network = models.create(NETWORK, weights)
    path = draw(network, Path(cfg.drawings), quiet=bool(cfg.quiet))
    write_json(path.with_suffix(".json"), said(network, weights))
    return path


def said(network: torch.nn.Module, weights: Path) -> dict[str, str | float]:
    """Return the network's prediction for the cat, and which network it was."""
    pixels = models.card(NETWORK).input
    images = normalised([photograph("cat")], pixels.mean, pixels.std)
    with torch.no_grad():
        probability = network(images)[0].softmax(0)
    return {
        "model": NETWORK,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "picture": "cat",
        "predicted": class_names()[int(probability.argmax())],
        "confidence": round(float(probability.max()), 4),
    }


if __name__ == "__main__":
    main()
