"""A panel: pictures to measure maps on, with their objects' masks and their scores."""

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

    ids, references  (B,) of the pictures and of their references, "" for a class
    images           (B, 3, H, W), the network's input
    masks            (B, H, W) bool, the objects
    asked            the scores
    labels           (B,) names of the pictures' classes
    known            (M, ...) the embeddings among which the references were looked for; None for a
                     class, or where the references were given
    """

    ids: Sequence[str]
    references: Sequence[str]
    images: Tensor
    masks: Tensor
    asked: Asked
    labels: Sequence[str]
    known: Tensor | None = None

    @property
    def rows(self) -> Tensor:
        """The indices of all pictures, (B,)."""
        return torch.arange(len(self.ids))

    @property
    def partners(self) -> Tensor:
        """(B,) for each picture the index of the next one of another class; its own if there is
        none."""
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
        """Whether two pictures side by side give an output of the same shape as one picture. They
        do after global pooling; a flattened feature map grows with the picture."""
        picture = self.images[:1]
        with torch.no_grad():
            one, two = network(picture), network(torch.cat([picture, picture], dim=3))
        return one.shape == two.shape

    def answer(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the scores (n B,) of n perturbed versions of the pictures, in half precision if
        the hardware has it, as there are thousands."""
        answers = Answers(network, self.asked.answer(self.rows), len(self.ids))
        with device.autocast(images.device):
            return answers(images)


def panel_of(
    cfg: DictConfig,
    images: Folder,
    network: nn.Module,
    batch: Batch,
    known: Tensor | None = None,
) -> Panel | None:
    """Return the panel of a batch, without pictures that have no object or no background; None if
    no picture remains. known (M, ...): the embeddings that a similarity is contrasted with, if
    `measure.contrast` says so."""
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
        asked(given, references, known if cfg.measure.contrast else None),
        [batch.labels[n] for n in kept],
        known,
    )
