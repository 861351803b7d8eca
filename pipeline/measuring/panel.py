"""Pictures as they are measured: shown to the network, with their objects and their questions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from naflow.metrics import Answers
from pipeline import device
from pipeline.explanations.batches import Batch
from pipeline.explanations.objects import measurable, objects
from pipeline.measuring.asked import Asked, asked
from pipeline.models.subject import outputs
from pipeline.pictures.images import Folder
from pipeline.pictures.pixels import normalised


@dataclass(frozen=True)
class Panel:
    """B pictures.

    ids, references  (B,) of the pictures and of what they are likened to, "" for a class
    images           (B, 3, H, W) as the network is given them
    masks            (B, H, W) bool: objects
    asked            the questions
    labels           (B,) names of the pictures' classes
    """

    ids: Sequence[str]
    references: Sequence[str]
    images: Tensor
    masks: Tensor
    asked: Asked
    labels: Sequence[str]

    @property
    def rows(self) -> Tensor:
        """All pictures, in order."""
        return torch.arange(len(self.ids))

    @property
    def partners(self) -> Tensor:
        """(B,) for each picture the next one of another class; itself where there is none."""
        count = len(self.labels)
        return torch.tensor(
            [
                next(
                    (
                        other % count
                        for other in range(one + 1, one + count)
                        if self.labels[other % count] != self.labels[one]
                    ),
                    one,
                )
                for one in range(count)
            ]
        )

    def takes_scenes(self, network: nn.Module) -> bool:
        """Whether a scene of two pictures side by side gives an output as large as a picture's. It
        does behind global pooling; a flattened feature map grows with the picture."""
        picture = self.images[:1]
        with torch.no_grad():
            one, two = network(picture), network(torch.cat([picture, picture], dim=3))
        return one.shape == two.shape

    def answer(self, network: nn.Module, images: Tensor) -> Tensor:
        """(n B,) what the network answers to n changes of the pictures, in half precision where the
        hardware has it: thousands of them are asked."""
        answers = Answers(network, self.asked.answer(self.rows), len(self.ids))
        with device.autocast(images.device):
            return answers(images)


def panel_of(cfg: DictConfig, images: Folder, network: nn.Module, batch: Batch) -> Panel | None:
    """A batch of pictures, less those without an object or a background; None if no other is
    left."""
    seen, ids = cfg.model.input, [case.picture for case in batch.cases]
    masks = objects(images, ids, seen.size, seen.fit)
    kept = measurable(masks).nonzero()[:, 0].tolist()
    if not kept:
        return None
    given = outputs(network, batch.images[kept], seen.mean, seen.std)
    references = batch.references
    if references is not None:
        references = outputs(network, references[kept], seen.mean, seen.std)
    return Panel(
        [ids[n] for n in kept],
        [batch.cases[n].reference for n in kept],
        normalised(batch.images[kept], seen.mean, seen.std).to(next(network.parameters()).device),
        masks[kept],
        asked(given, references),
        [batch.labels[n] for n in kept],
    )
