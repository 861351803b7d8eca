"""Networks that learnt true labels and shuffled ones: maps of the two must differ.

Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018. EfficientNet-Lite0, untrained at
first, learns the same pictures by heart: with their labels, with them again from other first
weights, and with the labels shuffled. Then each map is asked for the label that was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import trange

from bench.sanity.alike import alike, share
from naflow import metrics
from naflow.errors import BadInput
from naflow.methods import METHODS
from naflow.models import Input, create
from naflow.scores import ClassLogit
from pipeline.atomic import replacing
from pipeline.explanations.cases import in_turn
from pipeline.explanations.objects import measurable, objects
from pipeline.fingerprint import fingerprint
from pipeline.pictures.images import Folder, Part
from pipeline.pictures.pixels import normalised, read

SIZE, LEARNT, EPOCHS, BATCH, RATE = 96, 120, 120, 24, 2e-3
MOMENTUM = 0.1  # of the batch norms' statistics, whose own is for longer training
ENOUGH = 0.98  # of the labels by heart
NETWORKS = {"true": (False, 0), "again": (False, 1), "shuffled": (True, 2)}


@dataclass(frozen=True)
class Lesson:
    """Pictures (N, 3, H, W), their labels (N,) by the name of the network that learns them, and
    their objects' masks (N, H, W) bool."""

    images: Tensor
    labels: dict[str, Tensor]
    masks: Tensor


def lesson(photos: Path, seen: Input, seed: int) -> Lesson:
    """Return the first pictures of the subset caltech3's training part, its classes in turn."""
    names = {"id": "image", "image": "image", "mask": "mask", "label": "class", "split": "split"}
    folder = Folder(
        str(photos),
        "caltech3",
        "index.csv",
        names | {"box": ["x0", "y0", "x1", "y1"]},
        {"subset": "caltech3"},
        {"train": "train", "val": None, "test": "test"},
    )
    classes, pictures = folder.part(Part("base", "train"))
    pixels = read(in_turn(pictures, classes)[:LEARNT], classes, SIZE, "crop", quiet=True)
    order = torch.randperm(len(pixels.labels), generator=torch.Generator().manual_seed(seed))
    return Lesson(
        normalised(pixels.images, seen.mean, seen.std),
        {
            name: pixels.labels[order] if shuffled else pixels.labels
            for name, (shuffled, _) in NETWORKS.items()
        },
        objects(folder, pixels.ids, SIZE, "crop"),
    )


def learnt(lesson: Lesson, folder: Path) -> dict[str, nn.Module]:
    """Return the networks of NETWORKS, each with the labels of its name by heart; those of this
    lesson that `folder` holds are read. Raises BadInput if one did not learn them."""
    settings = [SIZE, EPOCHS, BATCH, RATE, MOMENTUM, NETWORKS]
    key = fingerprint(settings, lesson.images, lesson.labels["true"], lesson.labels["shuffled"])
    folder = folder / key[:20]
    folder.mkdir(parents=True, exist_ok=True)
    networks = {}
    for name, (_, seed) in NETWORKS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = create("efficientnet_lite0", classes=int(lesson.labels["true"].max()) + 1)
            path = folder / f"{name}.safetensors"
            if path.exists():
                network.load_state_dict(load_file(path))
            else:
                _learn(name, network, lesson.images, lesson.labels[name])
                with replacing(path) as unfinished:
                    save_file(network.state_dict(), unfinished)
        right = _by_heart(network, lesson.images, lesson.labels[name])
        if right < ENOUGH:
            raise BadInput(f"The network '{name}' knows {right:.0%} of its labels: learn longer.")
        networks[name] = network
    return networks


def _learn(name: str, network: nn.Module, images: Tensor, labels: Tensor) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    for _ in (bar := trange(EPOCHS, desc=f"labels {name}")):
        network.train()
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
        right = _by_heart(network, images, labels)
        bar.set_postfix(right=f"{right:.2f}")
        if right == 1:
            break


def _by_heart(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        found = torch.cat([network.eval()(part).argmax(1) for part in images.split(BATCH)])
    return float((found == labels).double().mean())


def asked(lesson: Lesson, count: int) -> list[int]:
    """Return the first `count` pictures whose object can be told from a background, and whose label
    is another one when shuffled."""
    other = lesson.labels["true"] != lesson.labels["shuffled"]
    return (measurable(lesson.masks) & other).nonzero()[:count, 0].tolist()


def compared(
    method: str,
    networks: dict[str, nn.Module],
    lesson: Lesson,
    row: int,
    layers: Sequence[str],
) -> pd.DataFrame:
    """Return one row per layer for one picture: the share on the object of the map of each network,
    as `share NETWORK`, whether it is empty, `empty NETWORK`, its rank correlation with that of the
    first network, `rank NETWORK`, and by how much shuffled labels lower it, `labels`."""
    maps = {}
    for name, network in networks.items():
        score = ClassLogit(lesson.labels[name][row, None])
        maps[name] = METHODS[method](network)(lesson.images[row, None], score, layers=list(layers))
    masks = lesson.masks[row, None]
    rows = []
    for layer in layers:
        own = maps["true"][layer]
        found = {f"share {name}": share(flow[layer], masks) for name, flow in maps.items()}
        for name, flow in maps.items():
            found[f"empty {name}"] = metrics.empty(flow[layer].clamp(min=0))
            if name != "true":
                found[f"rank {name}"] = alike(own, flow[layer])
        found["labels"] = found["rank again"] - found["rank shuffled"]
        rows.append({name: float(value) for name, value in found.items()})
    return pd.DataFrame(rows)
