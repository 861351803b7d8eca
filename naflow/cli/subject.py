"""What is explained: a network with its weights, preprocessing and classes, and the score."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from naflow.cli import photos
from naflow.cli.files import reason, shown
from naflow.cli.labels import class_names, read, targets
from naflow.cli.likeness import likeness
from naflow.cli.question import Target
from naflow.cli.sources import ANY, fingerprint, is_own, source
from naflow.errors import BadInput, printable
from naflow.hashes import sha256
from naflow.models import Input
from naflow.models.origins import Origin
from naflow.models.preprocessing import normalised
from naflow.models.pretrained import trained
from naflow.outputs import output_tensor
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit, Score


@dataclass(frozen=True)
class Subject:
    """A network on its device, its preprocessing, and what is explained of its output.

    weights  name of the file (None if none was given) and its sha256, or that of the network's
             tensors if there is no file; for published weights also their address and licence
    classes  class names in order, None if unknown
    targets  the classes to explain, if they are not the one class of the score
    hashes   sha256 of the photos that the score is made of, by option: "reference", "against"
    """

    network: nn.Module
    input: Input
    score: Score
    weights: dict[str, str | None]
    classes: list[str] | None
    device: torch.device
    targets: list[Target] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def images(self, squares: list[np.ndarray]) -> Tensor:
        """Turn squares (H, W, 3) uint8 into the network's input (B, 3, H, W), on its device."""
        return normalised(squares, self.input.mean, self.input.std).to(self.device)


def subject(arguments: Namespace) -> Subject:
    """Return what the arguments of `naflow explain` describe.

    Raises BadInput for arguments that cannot be used, before any photo is explained.
    """
    _check_question(arguments)
    origin, device = source(arguments.model), device_called(arguments.device)
    wanted = input_of(origin, arguments)
    _check_weights(arguments, origin)
    labels = None if arguments.labels is None else read(arguments.labels)
    network, weights = _network(arguments, origin, len(labels) if labels else None)
    network = network.to(device)

    def answer(squares: list[np.ndarray]) -> Tensor:
        return _output(network, normalised(squares, wanted.mean, wanted.std).to(device))

    if arguments.reference is not None:
        score, hashes = likeness(
            arguments, lambda files: answer([photos.square(file, wanted) for file in files])
        )
        return Subject(network, wanted, score, weights, None, device, hashes=hashes)
    output = answer([np.zeros((wanted.size, wanted.size, 3), np.uint8)])
    count = _classes(output, origin, arguments.model)
    names = class_names(labels, arguments.weights, origin.classes, count)
    asked = targets(arguments.target or (), names, count)
    if len(asked) == 1 and len(asked[0].classes) == 1:
        return Subject(network, wanted, ClassLogit(asked[0].classes[0]), weights, names, device)
    return Subject(network, wanted, ClassLogit(), weights, names, device, asked)


def _network(
    arguments: Namespace, origin: Origin, classes: int | None
) -> tuple[nn.Module, dict[str, str | None]]:
    """Return the network, and what the manifest says of its weights. A download is reported with
    hash and licence."""
    file = arguments.weights
    if file is not None:
        described = {"file": shown(Path(file.name)), "sha256": sha256(file)}
        return origin.network(file, classes), described
    if origin.published is None or arguments.random_weights:
        network = origin.network(None, classes)
        return network, {"file": None, "sha256": fingerprint(network)}
    if classes is not None and len(origin.classes or ()) != classes:
        raise BadInput(
            f"--labels has {classes} names, but the published weights of {arguments.model} have "
            "other classes: give your own --weights, too."
        )
    network, fetched = trained(origin)
    if not (origin.published.here or arguments.quiet):
        sys.stderr.write(f"naflow: {printable(f'{origin.name}: {fetched}')}\n")
    return network, {
        "file": shown(Path(fetched.path.name)),
        "sha256": fetched.sha256,
        "address": fetched.address,
        "licence": fetched.licence,
    }


def input_of(origin: Origin, arguments: Namespace) -> Input:
    """Return the network's preprocessing, with the changes that the arguments make.

    Raises BadInput for a standard deviation that is not positive.
    """
    std = tuple(arguments.std or origin.input.std)
    if not all(value > 0 for value in std):
        raise BadInput(f"--std {' '.join(map(str, std))}: three numbers above 0 are needed.")
    mean = tuple(arguments.mean or origin.input.mean)
    return replace(origin.input.at(arguments.size or origin.input.size), mean=mean, std=std)


def device_called(name: str) -> torch.device:
    """Return the device that --device names. Raises BadInput if there is no GPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: PyTorch finds no GPU here; use --device cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _check_question(arguments: Namespace) -> None:
    if arguments.reference is not None:
        for option in ("target", "labels"):
            if getattr(arguments, option) is not None:
                raise BadInput(
                    f"--{option} is for classes, --reference for embeddings: give one of the two."
                )
        if not arguments.reference.exists():
            raise BadInput(f"--reference {arguments.reference}: there is no such photo.")
    elif arguments.against is not None:
        raise BadInput("--against contrasts the similarity to a --reference: give that, too.")


def _check_weights(arguments: Namespace, origin: Origin) -> None:
    model = arguments.model
    if arguments.weights is not None:
        if arguments.random_weights:
            raise BadInput("--weights and --random-weights exclude each other: give one.")
        if not arguments.weights.is_file():
            raise BadInput(f"--weights {arguments.weights}: there is no such file.")
    elif arguments.random_weights:
        said = printable(f"maps and classes of {model} mean nothing")
        sys.stderr.write(f"naflow: RANDOM WEIGHTS: {said}.\n")
    elif origin.published is None and not is_own(model):
        known = "" if ":" in model else f" (`naflow models {model}` says where there are some)"
        raise BadInput(
            f"{model} has no weights yet: give --weights FILE{known}, or --random-weights."
        )


def _classes(output: Tensor, origin: Origin, model: str) -> int:
    """Return the number of classes. Raises BadInput if the output is no logits (1, classes)."""
    if origin.embedding:
        raise BadInput(f"{model} gives an embedding, no classes: give --reference PHOTO.")
    if output.ndim != 2:
        raise BadInput(
            f"The network returns {tuple(output.shape)}, which are no logits: give --reference "
            "PHOTO if it is an embedding, or use the library, which has more scores."
        )
    return output.shape[1]


def _output(network: nn.Module, images: Tensor) -> Tensor:
    """Return the network's output for some images. Raises BadInput if the network cannot run or
    returns no tensor to explain, UnsupportedModel for a detector."""
    try:
        with preserved(network), torch.no_grad():
            output = network(images)
    except torch.OutOfMemoryError:
        raise
    except ANY as error:
        shape = tuple(images.shape)
        raise BadInput(f"The network cannot take images {shape} ({reason(error)}).") from None
    return output_tensor(output, "naflow explain")
