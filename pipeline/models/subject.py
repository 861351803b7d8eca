"""A network under examination: its outputs for parts of a folder of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from naflow.errors import BadInput
from pipeline import npy
from pipeline.pictures.images import Folder, Part
from pipeline.pictures.pixels import normalised, read

AT_ONCE = 512  # pictures decoded at a time


@dataclass(frozen=True)
class Outputs:
    """A network's outputs for N pictures.

    values   (N, ...) float32
    labels   (N,) index of each picture's class in `classes`, -1 if it is not there
    classes  names of the classes
    names    (N,) the names of the pictures' classes
    ids      (N,) the pictures' ids; [] if unknown
    """

    values: Tensor
    labels: Tensor
    classes: Sequence[str]
    names: list[str]
    ids: list[str]


@dataclass(frozen=True)
class Subject:
    """`network` in eval mode, the folder of pictures to test it on, and its preprocessing.

    classes  names of the network's outputs, None for an embedding
    bank     file (.npy) of its published memory bank; it need not exist
    """

    network: nn.Module
    classes: Sequence[str] | None
    folder: Folder
    fit: str
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    bank: Path
    quiet: bool | None = None

    @property
    def device(self) -> torch.device:
        """The network's device, on which its outputs are best processed, too."""
        return next(self.network.parameters()).device

    def outputs(self, part: Part) -> Outputs:
        """Return the outputs for every picture of a part; labels are indices into the network's
        classes, or, if it has none, those of the part."""
        classes, pictures = self.folder.part(part)
        values, labels = [], []
        for start in tqdm(range(0, len(pictures), AT_ONCE), desc="outputs", disable=self.quiet):
            chosen = pictures[start : start + AT_ONCE]
            pixels = read(chosen, self.classes or classes, self.size, self.fit, quiet=True)
            values.append(outputs(self.network, pixels.images, self.mean, self.std))
            labels.append(pixels.labels)
        names, ids = [one.label for one in pictures], [one.id for one in pictures]
        return Outputs(torch.cat(values), torch.cat(labels), self.classes or classes, names, ids)

    def vectors(self) -> Tensor:
        """Return the published memory bank (N, D). Raises BadInput if there is none, or if it is
        damaged."""
        if not self.bank.is_file():
            raise BadInput(
                f"{self.bank}: there is no memory bank. Fetch it (python -m pipeline.fetch), or "
                "name pictures to take its place: recipe.verify.known."
            )
        try:
            bank = torch.from_numpy(npy.read(self.bank.read_bytes()))
            if bank.ndim != 2 or not bank.is_floating_point() or not bank.isfinite().all():
                raise ValueError("vectors of finite numbers are expected")
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(
                f"{self.bank} is damaged, or no memory bank ({error}). Remove it, and fetch it "
                "again (python -m pipeline.fetch)."
            ) from None
        return bank

    def memory(self) -> Outputs:
        """Return the published memory bank (N, D) and its labels.

        Raises BadInput if there is none, or if it is not of this folder's training pictures.
        """
        bank, labels = self.vectors(), self.folder.bank_labels()
        if len(bank) != len(labels):
            raise BadInput(
                f"{self.bank} has {len(bank)} vectors, but {self.folder.name} has {len(labels)} "
                "training pictures: it is the bank of other pictures."
            )
        classes = self.folder.classes
        return Outputs(bank, labels, classes, [classes[n] for n in labels.tolist()], [])


@torch.no_grad()
def outputs(
    network: nn.Module,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    batch: int = 64,
) -> Tensor:
    """Return the network's outputs for uint8 images (N, 3, H, W), in eval mode, on the CPU.

    Raises BadInput if an output is NaN or infinite.
    """
    device = next(network.parameters()).device
    network.eval()
    parts = images.split(batch)
    found = torch.cat([network(normalised(part.to(device), mean, std)).cpu() for part in parts])
    broken = (~found.flatten(1).isfinite().all(1)).sum().item()
    if broken:
        raise BadInput(
            f"The network gives NaN or infinity for {broken} of {len(found)} pictures: "
            "its weights or its input (model.input) are not what it was trained with."
        )
    return found
