"""The network that --model names: one known by name, or made by the user's own function."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from naflow.cli.files import reason
from naflow.errors import BadInput, near_names
from naflow.models import Input, origins
from naflow.models.origins import Origin
from naflow.models.origins.origin import filled

#: What the user's own code can raise, sys.exit() included.
ANY = (Exception, SystemExit)

_FORM = ", or package.module:factory of your own."


def source(name: str) -> Origin:
    """Return the origin that --model names. Raises BadInput, with similar names, for an unknown
    one."""
    if is_own(name):
        return Origin(
            name,
            lambda _: _made(name),
            Input(),
            filled=lambda weights, _: filled(_made(name), weights, name),
        )
    try:
        return origins.origin(name)
    except BadInput as error:
        raise BadInput(f"{error}{_FORM if str(error).endswith(origins.FORMS) else ''}") from None


def is_own(name: str) -> bool:
    """Whether --model names a function of the user's own, which will be called."""
    return not origins.known(name)


def _made(name: str) -> nn.Module:
    """Call `package.module:factory` and return its network; the user's code runs. The current
    folder is searched last, so that no file there replaces an installed package."""
    module, factory = name.split(":", 1)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        imported = importlib.import_module(module)
    except ANY as error:
        raise BadInput(
            f"--model {name}: {module} cannot be imported ({reason(error)}). It was taken for a "
            f"module of yours; networks of others are {origins.FORMS}."
        ) from None
    if not hasattr(imported, factory):
        own = [word for word in vars(imported) if not word.startswith("_")]
        raise BadInput(f"--model {name}: {module} has no {factory!r}.{near_names(factory, own)}")
    try:
        network = getattr(imported, factory)()
    except ANY as error:
        raise BadInput(
            f"--model {name}: calling it without arguments failed ({reason(error)})."
        ) from None
    if not isinstance(network, nn.Module):
        raise BadInput(f"--model {name} returns a {type(network).__name__}, not a torch.nn.Module.")
    return network


def fingerprint(network: nn.Module) -> str:
    """Return the sha256 of all tensors in the network's state dict. Raises BadInput for a tensor
    without data, as on the device meta."""
    digest = hashlib.sha256()
    tensors = {k: v for k, v in network.state_dict().items() if isinstance(v, Tensor)}
    for name, value in tensors.items():
        if value.is_meta or value.is_quantized or value.layout != torch.strided:
            kind = f"{value.dtype}, {value.layout}, {value.device}".replace("torch.", "")
            raise BadInput(f"The network's {name!r} holds no plain numbers ({kind}).")
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
