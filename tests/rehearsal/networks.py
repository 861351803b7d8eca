"""Stand-in networks: random features, and a last layer fitted to chosen decisions.

Without training, they pass or miss gates on purpose, and make right and wrong decisions that the
rules of figures can select.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from naflow import models
from pipeline.pictures.imagenet import ImageNet
from pipeline.pictures.pixels import normalised, read
from rehearsal.validation import DOGS, TANDEM

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CALIBRATED = 32  # pictures whose statistics the batch norms take


class Seen:
    """The pictures of a folder, as inputs of networks (side x side pixels), and their classes."""

    def __init__(self, folder: ImageNet, side: int) -> None:
        pixels = read(folder.pictures, folder.classes, side, "centre", quiet=True)
        self.images = normalised(pixels.images, MEAN, STD)
        self.labels = pixels.labels
        self.wnids = [label.split()[0] for label in (one.label for one in folder.pictures)]

    def classifier(self, name: str, seed: int, wrong: float = 0.1) -> nn.Module:
        """Return a classifier that is wrong about a share of the pictures, their class second."""
        targets = F.one_hot(self.labels, 1000).float()
        for number in self._wrong(seed, wrong):
            targets[number, (self.labels[number] + 500) % 1000] = 1.2
        return fitted(name, self.images, targets, seed)

    def embedding(self, name: str, seed: int, directions: Tensor, wrong: float) -> nn.Module:
        """Return a network that embeds pictures at the directions (1000, 128) of their classes, but
        a share `wrong` at another's. Dogs are always right, the tandem bicycle except in ResNet18.
        """
        missed = self._wrong(seed, wrong)
        labels = self.labels.clone()
        for number, wnid in enumerate(self.wnids):
            small = wnid == TANDEM and name.startswith("resnet18")
            if small or (number in missed and wnid not in (TANDEM, *DOGS)):
                others = self.labels[self.labels != labels[number]]
                labels[number] = others[number % len(others)]
        return fitted(name, self.images, directions[labels], seed)

    def _wrong(self, seed: int, share: float) -> Sequence[int]:
        order = torch.randperm(len(self.labels), generator=Generator().manual_seed(seed))
        return order[: round(share * len(order))].tolist()


def directions(seed: int) -> Tensor:
    """Return a random unit vector for each class (1000, 128)."""
    return F.normalize(torch.randn(1000, 128, generator=Generator().manual_seed(seed)), dim=1)


def bank(directions: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Return a memory bank (N, 128): unit vectors near the direction of their class."""
    generator = Generator().manual_seed(1000 + seed)  # not that of `directions`
    drawn = torch.randn(len(labels), directions.shape[1], generator=generator)
    return F.normalize(drawn.div_(8).add_(directions[labels]), dim=1)


@torch.no_grad()
def fitted(name: str, images: Tensor, targets: Tensor, seed: int) -> nn.Module:
    """Return network `name`: random features, and a last layer that gives `images` -> `targets`."""
    torch.manual_seed(seed)
    network = models.create(name)
    calibrated(network, images[:CALIBRATED])
    features, last = before(network, images), network.get_submodule("fc")
    assert isinstance(last, nn.Linear)
    middle = features.mean(0)
    # As few numbers as there are pictures: of all that give the targets, the smallest ones.
    solution = torch.linalg.lstsq((features - middle).double(), targets.double(), driver="gelsd")
    last.weight.copy_(solution.solution.T)
    last.bias.copy_(-last.weight @ middle)
    return network.eval()


def calibrated(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the statistics of these images, so that their features remain distinct."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    network.train()(images)
    network.eval()


def before(network: nn.Module, images: Tensor) -> Tensor:
    """Return the inputs of the last layer, (N, features), for images."""
    given: list[Tensor] = []
    take: Callable[..., None] = lambda module, inputs: given.append(inputs[0])  # noqa: E731
    handle = network.get_submodule("fc").register_forward_pre_hook(take)
    for part in images.split(32):
        network(part)
    handle.remove()
    return torch.cat(given)
