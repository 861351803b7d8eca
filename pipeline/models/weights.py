"""Build networks from the configuration; load and save their weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

import naflow.models
from naflow.errors import BadInput
from naflow.models import checkpoint
from naflow.models.registry import settings_of
from naflow.models.settings import check, parameters

CLASSIFICATION = "classification"  # the task (conf/model) whose outputs are classes


@dataclass(frozen=True)
class Loaded:
    """A network in eval mode, and its class names in order; None for an embedding."""

    network: nn.Module
    classes: list[str] | None


def save(path: Path, model: str, network: nn.Module, classes: Sequence[str] | None) -> None:
    """Write weights and class names as one safetensors file, whole or not at all.

    `naflow.models.create(model, path)` can read the file, too.
    """
    settings = {} if classes is None else {"classes": len(classes)}
    about = {"model": model, "settings": settings, "classes": classes and list(classes)}
    checkpoint.save_safetensors(path, network.state_dict(), about)


def load(model: DictConfig, device: torch.device) -> Loaded:
    """Return the network that conf/model describes, with its weights, in eval mode.

    Reads .safetensors, and .pt or .pth files of a state dict, without running code. Raises BadInput
    for a file that is missing, damaged or of another network, and for a wrong number of class
    names.
    """
    state, settings, classes = _read(Path(model.weights), "model.weights")
    if model.labels is not None:
        classes = _names(Path(model.labels))
        settings = settings | {"classes": len(classes)}
    network = _built(model, settings)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise BadInput(
            f"{model.weights} does not fit {model.name} with {settings or 'its own settings'}: "
            f"{first}"
        ) from None
    return Loaded(network.to(device).eval(), classes)


def _built(model: DictConfig, settings: dict) -> nn.Module:
    """Build the network of the configuration, with the settings of its file of weights.

    Those settings are not passed through Hydra: only the configuration says what is called. Raises
    BadInput for an unknown setting, or one that contradicts the configuration.
    """
    function, own = get_method(model.network._target_), dict(model.network)
    create = function is naflow.models.create  # it passes settings on to the network's function
    known = settings_of(model.network.name) if create else parameters(function)
    who = f"{model.weights}, settings: {model.name}"
    check(settings, known, who)
    for name, value in settings.items():
        if name in own and own[name] != value:
            raise BadInput(f"{who}: {name}={value}, but model.network.{name}={own[name]}.")
    try:
        return instantiate(model.network, _partial_=True)(**settings)
    except BadInput as error:
        raise BadInput(f"{model.weights}: {error}") from None
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"{model.weights}: {model.name} cannot be built with {settings or 'its own settings'}: "
            f"{reason}"
        ) from None


def begin_from(network: nn.Module, path: Path, without: Sequence[str]) -> None:
    """Load the weights of a file into a network, except into modules with a name in `without` at
    any depth, as in ["fc", "cbam"].

    Raises BadInput if the file is missing or the other tensors do not fit.
    """

    def kept(name: str) -> bool:
        return not set(name.split(".")).intersection(without)

    state = {
        name: value for name, value in _read(path, "recipe.start.weights")[0].items() if kept(name)
    }
    own = {name: value for name, value in network.state_dict().items() if kept(name)}
    differing = sorted(own.keys() ^ state.keys())
    if differing:
        raise BadInput(
            f"{path} is no start for this network: {differing[0]!r} is only in one of them. "
            "Name the modules to leave out in recipe.start.without."
        )
    for name, value in state.items():
        shapes = [tuple(one.shape) for one in (value, own[name])]
        if shapes[0] != shapes[1]:
            raise BadInput(
                f"{path} is no start for this network: {name} is of shape {shapes[0]}, not "
                f"{shapes[1]}. Name the modules to leave out in recipe.start.without."
            )
    network.load_state_dict(state, strict=False)


def _read(path: Path, setting: str) -> tuple[dict[str, Tensor], dict, list[str] | None]:
    """Return the weights in float32, the network's settings, and the class names, if the file has
    them."""
    if not path.is_file():
        raise BadInput(
            f"{setting}={path}: there is no such file. "
            "Train it (python -m pipeline.train), fetch it (python -m pipeline.fetch) "
            "or give its path."
        )
    about: dict = {}
    if path.suffix == ".safetensors":
        state, about = checkpoint.load_safetensors(path)
    else:
        state = checkpoint.load(path)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BadInput(f"{path} holds no plain state dict: convert it with naflow.models.convert.")
    checkpoint.check_numbers(state, path)
    tensors = {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }
    if broken := [name for name, value in tensors.items() if not value.isfinite().all()]:
        raise BadInput(f"{path} holds no usable weights: NaN or infinity is in {broken[0]}.")
    return tensors, about.get("settings", {}), about.get("classes")


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise BadInput(f"model.labels={path}: there is no such file.")
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise BadInput(f"model.labels={path} is no UTF-8 text: save the names as UTF-8.") from None
    if any(len(name) > checkpoint.LONGEST for name in names):
        raise BadInput(f"model.labels={path}: a name has more than {checkpoint.LONGEST} letters.")
    return names
