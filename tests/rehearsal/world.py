"""Make stand-ins for everything that the profile `paper` downloads."""

import multiprocessing
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import nn

from naflow import models
from pipeline.pictures.imagenet import ImageNet
from rehearsal import birds, formats, networks, validation
from rehearsal.networks import Seen

Made = TypeVar("Made")
NPID = {"resnet18_npid": 0.35, "resnet50_npid": 0.2}  # the share decided wrongly
NETWORKS = ("resnet18", "resnet50", "resnet50_cbam", "resnet50_bam", *NPID)


@dataclass(frozen=True)
class World:
    """The stand-ins in a folder."""

    folder: Path

    @property
    def imagenet(self) -> dict[str, Path]:
        """Layout of ImageNet -> its folder."""
        return validation.roots(self.folder / "imagenet")

    @property
    def pictures(self) -> int:
        """The number of ImageNet's pictures."""
        return len(list((self.imagenet["flat"] / "val").iterdir()))

    @property
    def weights(self) -> dict[str, Path]:
        """Network -> the file in its authors' format."""
        files = sorted((self.folder / "weights").glob("*.published"))
        return {path.stem: path for path in files}

    @property
    def published(self) -> dict[str, Path]:
        """Network or archive -> the file that is served."""
        return self.weights | {path.name: path for path in (self.folder / "cub").iterdir()}

    @property
    def vissl(self) -> Path:
        """ResNet50-NPID in VISSL's format, which lacks the memory bank."""
        return self.folder / "weights" / "vissl.torch"


def made(
    folder: Path,
    side: int = 224,
    classes: int = 30,
    training: int = validation.TRAINING,
    birds_each: int = 18,
    names: tuple[str, ...] = NETWORKS,
) -> World:
    """Write everything into `folder`: ImageNet's pictures, CUB's archives, and networks `names`
    that pass their gates on these pictures at `side` pixels."""
    pictures = validation.layouts(folder / "imagenet", classes, training=training)["flat"]
    birds.archives(folder, birds_each)
    found, files = ImageNet(str(pictures)), folder / "weights"
    seen = Seen(found, side)
    files.mkdir()
    for seed, name in enumerate(names):
        path = files / f"{name}.published"
        if name in NPID:
            directions = networks.directions(seed)
            network = seen.embedding(name, seed, directions, NPID[name])
            bank = networks.bank(directions, found.bank_labels(), seed)
            formats.lemniscate(network, bank, path)
            if name == "resnet50_npid":
                formats.vissl(network, files / "vissl.torch")
        else:
            write(seen.classifier(name, seed), name, path)
    return World(folder)


def anew(folder: Path, side: int) -> dict[str, float]:
    """Replace `folder` by a new world; return the seconds and CPU seconds that it took."""
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    made(folder, side)
    return {"seconds": time.monotonic() - start, "core": time.process_time()}


def write(network: nn.Module, name: str, path: Path) -> Path:
    """Write a classifier in its authors' format."""
    if name in ("resnet18", "resnet50"):
        return formats.torchvision(network, path)
    optimizer = {"optimizer": {"state": {}, "param_groups": []}} if name == "resnet50_bam" else {}
    return formats.parallel(network, path, **optimizer)


def poorer(name: str, published: Path, path: Path) -> Path:
    """Write the network, with the outputs of its last layer shifted by one, in the same format."""
    network = models.create(name, published)
    last = network.get_submodule("fc")
    assert isinstance(last, nn.Linear)
    last.weight.data, last.bias.data = last.weight.data.roll(1, 0), last.bias.data.roll(1, 0)
    if name in NPID:
        return formats.lemniscate(network, models.memory_bank(published), path)
    return write(network, name, path)


def apart(make: Callable[..., Made], *given: object) -> Made:
    """Return the result of `make`, run in a separate process, whose memory is freed at its end."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(make, *given).result()
