"""The cases of a job in batches; the pictures of a batch are read when it is explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from naflow.errors import BadInput
from pipeline.explanations import cases
from pipeline.explanations.cases import Case
from pipeline.fingerprint import fingerprint
from pipeline.models import weights
from pipeline.models.subject import AT_ONCE, outputs
from pipeline.pictures.images import Folder, Part, Picture
from pipeline.pictures.pixels import read

SHIPPED = {"group": "base", "split": "test"}  # the default of explain.part


@dataclass(frozen=True)
class Batch:
    """B cases and their pixels.

    labels      (B,) names of the pictures' classes
    images      (B, 3, H, W) uint8, the pictures
    references  the same of their reference pictures; None if a class is explained
    """

    cases: list[Case]
    labels: list[str]
    images: Tensor
    references: Tensor | None

    @cached_property
    def mark(self) -> str:
        """The fingerprint of the cases and of all pixels."""
        return fingerprint([case.pictures for case in self.cases], self.images, self.references)


class Batches:
    """The cases of the file `explain.cases`, or, without one, the first pictures of the model's own
    part.

    For a classifier, a class is explained. For an embedding without such a file, each picture's
    reference is the most similar of its recipe's known pictures (or of those of the same part).

    Raises BadInput for cases and pictures that do not exist.
    """

    def __init__(self, cfg: DictConfig, images: Folder, network: nn.Module) -> None:
        self._cfg, self._network, self._of_class = cfg, network, is_classifier(cfg)
        self._pictures = {picture.id: picture for picture in images.pictures}
        self._known: list[Picture] = []
        check_part(cfg)
        if cfg.explain.cases is not None:
            self.cases = cases.read(Path(cfg.explain.cases))
        else:
            verified = cfg.recipe.get("verify", {})
            part = verified.get("part", cfg.explain.part)
            first = cases.in_turn(images.part(Part(**part))[1])[: cfg.explain.pictures]
            self.cases = [Case(picture.id) for picture in first]
            if not self._of_class:
                known = images.part(Part(**(verified.get("known") or part)))[1]
                self._known = cases.in_turn(known)[: cfg.explain.known]
        for case in self.cases:
            for key in case.pictures:
                if key not in self._pictures:
                    images.of_id(key)  # raises BadInput with similar ids
            if not (case.reference or self._known or self._of_class):
                raise BadInput(
                    f"{cfg.explain.cases}: {case.picture} has no 'reference', and {cfg.model.name} "
                    "gives an embedding, of which a similarity is explained. Add references, or "
                    "set explain.cases=null to have them found."
                )

    def __len__(self) -> int:
        return -(-len(self.cases) // self._cfg.explain.batch)

    def read(self, number: int) -> Batch:
        """Read batch `number`, counted from 0. Raises BadInput for a picture that cannot be
        decoded."""
        size = self._cfg.explain.batch
        part = self.cases[number * size : (number + 1) * size]
        pictures = [self._pictures[case.picture] for case in part]
        images, references = self._pixels(pictures), None
        if (known := self.known) is not None:
            part = cases.most_alike(pictures, self._known, self._outputs(images), known)
        if not self._of_class:
            references = self._pixels([self._pictures[case.reference] for case in part])
        return Batch(part, [picture.label for picture in pictures], images, references)

    @cached_property
    def known(self) -> Tensor | None:
        """The embeddings (M, ...) of the known pictures; None if no reference is looked for. Only a
        few pictures are in memory at once."""
        if not self._known:
            return None
        some = [self._known[at : at + AT_ONCE] for at in range(0, len(self._known), AT_ONCE)]
        return torch.cat([self._outputs(self._pixels(pictures)) for pictures in some])

    def _pixels(self, pictures: Sequence[Picture]) -> Tensor:
        seen = self._cfg.model.input
        return read(pictures, [], seen.size, seen.fit, quiet=True).images

    def _outputs(self, images: Tensor) -> Tensor:
        seen = self._cfg.model.input
        return outputs(self._network, images, seen.mean, seen.std)


def check_part(cfg: DictConfig) -> None:
    """Raise BadInput for an explain.part that would be ignored because another setting chooses the
    pictures."""
    part = cfg.explain.part
    if part == SHIPPED:
        return
    for path in ("explain.cases", "recipe.verify.part"):
        if (other := OmegaConf.select(cfg, path)) is not None:
            raise BadInput(
                f"explain.part={part}: it would be ignored, because {path}={other} says which "
                "pictures are explained. Change that instead."
            )


def is_classifier(cfg: DictConfig) -> bool:
    """Whether the model gives classes; if not, it gives an embedding."""
    return cfg.model.task == weights.CLASSIFICATION
