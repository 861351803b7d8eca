"""All that the profile `paper` needs from elsewhere, made here."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from naflow import models
from pipeline.pictures.imagenet import ImageNet
from rehearsal import birds, formats, networks, validation
from rehearsal.networks import Seen

NPID = {"resnet18_npid": 0.35, "resnet50_npid": 0.2}  # the share decided wrongly


@dataclass(frozen=True)
class World:
    """The stand-ins: imagenet, a folder for each layout, of so many pictures; published, the files
    by name; vissl, one that lacks the memory bank."""

    folder: Path
    pictures: int
    imagenet: dict[str, Path]
    published: dict[str, Path]
    vissl: Path | None


def made(
    folder: Path,
    classes: int = 30,
    training: int = validation.TRAINING,
    birds_each: int = 18,
    names: tuple[str, ...] = ("resnet18", "resnet50", "resnet50_cbam", "resnet50_bam", *NPID),
) -> World:
    """Make everything below `folder`: ImageNet's pictures, CUB's archives, and the networks
    `names`, as good as their gates ask for on these pictures."""
    imagenet = validation.layouts(folder / "imagenet", classes, training=training)
    published, pictures = birds.archives(folder, birds_each), ImageNet(str(imagenet["flat"]))
    seen, files, vissl = Seen(pictures), folder / "weights", None
    files.mkdir()
    for seed, name in enumerate(names):
        path = files / f"{name}.published"
        if name in NPID:
            directions = networks.directions(seed)
            network = seen.embedding(name, seed, directions, NPID[name])
            bank = networks.bank(directions, pictures.bank_labels(), seed)
            formats.lemniscate(network, bank, path)
            if name == "resnet50_npid":
                vissl = formats.vissl(network, files / "vissl.torch")
        else:
            write(seen.classifier(name, seed), name, path)
        published[name] = path
    return World(folder, len(pictures.pictures), imagenet, published, vissl)


def write(network: nn.Module, name: str, path: Path) -> Path:
    """Write a classifier in the format that its authors published it in."""
    if name in ("resnet18", "resnet50"):
        return formats.torchvision(network, path)
    optimizer = {"optimizer": {"state": {}, "param_groups": []}} if name == "resnet50_bam" else {}
    return formats.parallel(network, path, **optimizer)


def poorer(name: str, published: Path, path: Path) -> Path:
    """The same network in the same format, its last layer's outputs exchanged."""
    network = models.create(name, published)
    last = network.get_submodule("fc")
    assert isinstance(last, nn.Linear)
    last.weight.data, last.bias.data = last.weight.data.roll(1, 0), last.bias.data.roll(1, 0)
    if name in NPID:
        return formats.lemniscate(network, models.memory_bank(published), path)
    return write(network, name, path)
