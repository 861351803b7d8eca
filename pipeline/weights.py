"""Networks and their weights: build from the configuration, load from a file, save to one."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from naflow.errors import BadInput
from pipeline.atomic import replacing


@dataclass(frozen=True)
class Classifier:
    """A network in eval mode and the names of its outputs, in order."""

    network: nn.Module
    classes: list[str]


def save(path: Path, network: nn.Module, classes: list[str]) -> None:
    """Write float32 weights and class names as one safetensors file, whole or not at all."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    with replacing(path) as partial:
        save_file(state, partial, metadata={"classes": json.dumps(classes)})


def load(model: DictConfig, device: torch.device) -> Classifier:
    """The classifier that conf/model describes, with its weights, in eval mode.

    Reads .safetensors, and .pt or .pth files of a state dict (never unpickling code). Raises
    BadInput for a file that is missing, damaged or made for another network, and for a wrong
    number of names.
    """
    path = Path(model.weights)
    if not path.is_file():
        raise BadInput(
            f"model.weights={path}: there is no such file. "
            "Train it (python -m pipeline.train) or give its path."
        )
    state, classes = _read(path)
    if model.labels is not None:
        classes = _names(Path(model.labels))
    if classes is None:
        raise BadInput(
            f"{path} does not name its classes: give model.labels, a text file of one name a line."
        )
    network = instantiate(model.network, num_classes=len(classes))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise BadInput(
            f"{path} does not fit {model.network._target_} with {len(classes)} classes: {first}"
        ) from None
    return Classifier(network.to(device).eval(), classes)


def _read(path: Path) -> tuple[dict[str, Tensor], list[str] | None]:
    """Weights in float32, and the class names where the file holds them."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                names = (file.metadata() or {}).get("classes")
        else:
            state, names = torch.load(path, weights_only=True, map_location="cpu"), None
        state = {
            name: value.float() if value.is_floating_point() else value
            for name, value in state.items()
        }
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        AttributeError,
    ) as error:
        raise BadInput(
            f"{path} is damaged or no file of weights ({str(error).splitlines()[0]})."
        ) from None
    return state, json.loads(names) if names else None


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise BadInput(f"model.labels={path}: there is no such file.")
    return path.read_text().splitlines()
