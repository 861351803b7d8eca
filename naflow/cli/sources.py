"""Where a network comes from: the library's registry, torchvision, or a function of one's own."""

from __future__ import annotations

import hashlib
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from naflow.cli.files import need, reason
from naflow.errors import BadInput, near_names
from naflow.models import Input, card, checkpoint, create, installed, list_models, published
from naflow.models.imagenet import class_names

#: What the user's own code can raise: also the wish to end the program, which is not its own.
ANY = (Exception, SystemExit)

_FORMS = " Or give torchvision:NAME, or package.module:factory of your own."


@dataclass(frozen=True)
class Source:
    """A network that can be built.

    build       from a file of weights, or None, with a number of classes, or None for its own
    input       pixels as it wants them
    embedding   whether its output is known to be no classes
    has_weights whether it may bring weights of its own
    categories  the class names it was published with, None where there are none
    published   the file of weights that is installed with it, None where there is none
    """

    build: Callable[[Path | None, int | None], nn.Module]
    input: Input
    embedding: bool = False
    has_weights: bool = False
    categories: Sequence[str] | None = None
    published: Callable[[], Path | None] = lambda: None

    def network(self, weights: Path | None, classes: int | None = None) -> nn.Module:
        """The network in evaluation mode; without a file the same numbers every time."""
        torch.manual_seed(0)
        return self.build(weights, classes).eval()


def source(name: str) -> Source:
    """The source behind --model. Raises BadInput, with the near names, for an unknown one."""
    if name.startswith("torchvision:"):
        return _torchvision(name.removeprefix("torchvision:"))
    if ":" in name:
        return Source(lambda weights, _: _filled(_made(name), weights), Input(), has_weights=True)
    if name not in list_models():
        raise BadInput(f"There is no model {name!r}.{near_names(name, list_models())}{_FORMS}")
    known = card(name)
    if "embedding" in known.task:
        return Source(lambda weights, _: create(name, weights), known.input, embedding=True)
    need("torchvision")

    def build(weights: Path | None, classes: int | None) -> nn.Module:
        return create(name, weights, **({} if classes is None else {"classes": classes}))

    comes_with = any(weights.installed for weights in known.weights)
    return Source(
        build,
        known.input,
        has_weights=comes_with,
        categories=class_names(),
        published=lambda: installed(name) if comes_with else None,
    )


def _torchvision(name: str) -> Source:
    need("torchvision")
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise BadInput(f"torchvision has no model {name!r}.{near_names(name, known)}")

    def build(weights: Path | None, classes: int | None) -> nn.Module:
        settings = {} if classes is None else {"num_classes": classes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how weights will start in another version
            network: Any = models.get_model(name, weights=None, **settings)
        if hasattr(network, "transform_input"):
            network.transform_input = True  # as torchvision sets it with its own weights
        return _filled(network, weights)

    own = _published(name)
    return Source(build, Input(own.transforms().crop_size[0]), categories=own.meta["categories"])


def _published(name: str) -> Any:
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(name)
    return weights.DEFAULT


def _made(name: str) -> nn.Module:
    """What `package.module:factory` returns. Its code runs; the current folder is where it is
    looked for last, so that no file there stands in for an installed package."""
    module, factory = name.split(":", 1)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = importlib.import_module(module)
    except ANY as error:
        raise BadInput(f"--model {name}: {module} cannot be imported ({reason(error)}).") from None
    if not hasattr(found, factory):
        own = [word for word in vars(found) if not word.startswith("_")]
        raise BadInput(f"--model {name}: {module} has no {factory!r}.{near_names(factory, own)}")
    try:
        network = getattr(found, factory)()
    except ANY as error:
        raise BadInput(
            f"--model {name}: calling it without arguments failed ({reason(error)})."
        ) from None
    if not isinstance(network, nn.Module):
        raise BadInput(f"--model {name} returns a {type(network).__name__}, not a torch.nn.Module.")
    return network


def _filled(network: nn.Module, weights: Path | None) -> nn.Module:
    """The network with the state dict of a file, where there is one."""
    if weights is None:
        return network
    if weights.suffix == ".safetensors":
        state, _ = checkpoint.load_safetensors(weights)
    else:
        state, _ = published.read(weights, "")
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        faults = " ".join(line.strip() for line in str(error).splitlines()[1:2])
        raise BadInput(
            f"{weights} does not fit the network: {faults[:300]} (For another number of classes "
            "give --labels.)"
        ) from None
    return network


def fingerprint(network: nn.Module) -> str:
    """The sha256 of all that the network's state dict holds."""
    digest = hashlib.sha256()
    tensors = {k: v for k, v in network.state_dict().items() if isinstance(v, Tensor)}
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
