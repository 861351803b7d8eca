"""The registry of networks: list them, build one by name, load its weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from naflow.errors import BadInput, near_names
from naflow.hashes import sha256
from naflow.models import checkpoint, fit, lemniscate, published
from naflow.models.card import ModelCard
from naflow.models.cards import CARDS
from naflow.models.imagenet import class_names
from naflow.models.installed import path_of
from naflow.models.settings import check, parameters
from naflow.table import aligned


def list_models() -> list[str]:
    """Return the names that `create` knows."""
    return list(CARDS)


def card(name: str) -> ModelCard:
    """Return the card of a network; print it to read it. Raises BadInput, with similar names, for
    an unknown network."""
    if name not in CARDS:
        raise BadInput(f"There is no model {name!r}.{near_names(name, CARDS)}")
    return CARDS[name]


def table() -> str:
    """Return a table of all networks as text, one per line."""
    rows = [("name", "network", "parameters", "weights", "gate")]
    for entry in CARDS.values():
        weights = "published" if entry.weights else "to be trained"
        rows.append((entry.name, entry.title, f"{entry.parameters:,}", weights, entry.gate))
    return aligned(rows)


def create(name: str, weights: str | Path | None = None, **settings: object) -> nn.Module:
    """Build a network in evaluation mode, with random weights or those of a file.

    weights   a .safetensors file of this library, or a checkpoint as its authors publish it; it
              must fit exactly
    settings  arguments of the network's function, as in classes=200, slope=0.0, flatten=False; by
              default those that the file gives

    Raises BadInput for an unknown name or setting, if torchvision is not installed, and for a file
    that is missing or damaged, holds code or does not fit.
    """
    return _create(name, weights, settings)[0]


def _create(
    name: str, weights: str | Path | None, settings: dict[str, object]
) -> tuple[nn.Module, dict[str, object]]:
    """Return the network and the settings that it was built with."""
    card(name)
    if weights is None:
        return _build(name, settings).eval(), settings
    path = Path(weights)
    state, of_file = _read(path, name)
    settings = of_file | settings
    network = _build(name, settings)
    known = ", ".join(inspect.signature(_function(name)).parameters)
    advice = f"Build {name} with the settings it was trained with ({known})."
    fit.fill(network, state, path, name, advice)
    return network.eval(), settings


def _read(path: Path, name: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    if path.suffix != ".safetensors":
        return published.read(path, name)
    state, about = checkpoint.load_safetensors(path)
    if about.get("model", name) != name:
        raise BadInput(f"{path} holds weights of {about['model']}, not of {name}.")
    return state, about.get("settings", {})


def convert(name: str, source: str | Path, target: str | Path, **settings: object) -> None:
    """Convert a published checkpoint to safetensors, which needs no unpickling.

    The file stores the network's name, its settings and the sha256 of the source. Raises BadInput
    as `create` does, and for a target that is no .safetensors file.
    """
    network, settings = _create(name, source, settings)
    about = {"model": name, "settings": settings, "source_sha256": sha256(Path(source))}
    if name == "efficientnet_lite0":
        about["classes"] = class_names()
    checkpoint.save_safetensors(Path(target), network.state_dict(), about)


def installed(name: str) -> Path | None:
    """Return the path of a network's published weights in an installed package, after checking
    their sha256; None if they come in no package.

    Raises BadInput for an unknown network, and for a package that is missing or damaged.
    """
    inside = [weights for weights in card(name).weights if weights.installed]
    return path_of(inside[0]) if inside else None


def memory_bank(source: str | Path) -> Tensor:
    """Return the memory bank of an NPID checkpoint: one unit vector for each training image,
    (N, 128), in the order of the sorted class folders and, within each, of the sorted file names.

    Raises BadInput if the file is missing or damaged, or names code beyond NPID's own.
    """
    return lemniscate.read(Path(source)).memory


def settings_of(name: str) -> dict[str, Any]:
    """Return a network's settings, name -> annotation. Raises BadInput as `card` does."""
    return parameters(_function(name))


def _function(name: str) -> Callable[..., nn.Module]:
    """Import and return the function that builds a network."""
    file, function = card(name).network.rsplit(".", 1)
    try:
        return getattr(import_module(file), function)
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise BadInput(
            f"{name} is built from torchvision, which is not installed: "
            "pip install 'naflow[pipeline]'."
        ) from None


def _build(name: str, settings: dict[str, object]) -> nn.Module:
    build = _function(name)
    check(settings, parameters(build), name)
    try:
        return build(**settings)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        reason = str(error).partition("\n")[0]
        raise BadInput(f"{name} cannot be built with {given or 'its settings'}: {reason}") from None
