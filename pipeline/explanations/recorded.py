"""Make the objects that a manifest names. A manifest is data that somebody handed over: it can only
choose among the files of conf/ and give values; nothing else is called."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from torch import nn

from naflow.errors import BadInput, NAFlowError, near_names
from naflow.explainer import Explainer
from naflow.models.settings import refuse_call
from pipeline.app import CONF
from pipeline.pictures.images import Folder

_folders: dict[str, Folder] = {}


def images(manifest: Mapping[str, Any]) -> Folder:
    """Return the folder of pictures from which maps were made; each folder is read once.

    Raises BadInput if conf/images has no such kind of folder, and if these values do not fit it.
    """
    key = json.dumps(manifest["settings"]["images"], sort_keys=True)
    if key not in _folders:
        _folders[key] = _made("images", manifest)
    return _folders[key]


def method(manifest: Mapping[str, Any]) -> Callable[[nn.Module], Explainer]:
    """Return the function that makes, for a network, the method that made the maps. That function
    raises BadInput if conf/method has no such method, and if these values do not fit it."""
    return functools.partial(_made, "method", manifest)


@functools.cache
def choices(group: str) -> frozenset[str]:
    """Return the targets of all files in a group of conf/: all that a manifest can name."""
    files = [OmegaConf.load(file) for file in (CONF / group).rglob("*.yaml")]
    entries = [file for file in files if isinstance(file, DictConfig)]
    return frozenset(str(entry["_target_"]) for entry in entries if "_target_" in entry)


def _refuse_calls(value: object, where: str) -> None:
    if isinstance(value, dict):
        for name in value:
            refuse_call(name, where)
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            _refuse_calls(one, where)


def _made(group: str, manifest: Mapping[str, Any], *arguments: nn.Module) -> Any:
    """Call the manifest's choice of a group with its values as they are; no interpolation is
    resolved."""
    where = f"The manifest of {manifest['method']} on {manifest['model']}, settings.{group}"
    values = dict(manifest["settings"][group])
    named = str(values.pop("_target_", None))
    if named not in choices(group):
        raise BadInput(
            f"{where}: {named!r} is named by no file of conf/{group} and was not called."
            f"{near_names(named, sorted(choices(group)))} If it is yours, add such a file."
        )
    _refuse_calls(values, where)
    try:
        return get_method(named)(*arguments, **values)
    except NAFlowError:
        raise
    except Exception as error:  # values of a damaged manifest can be anything
        raise BadInput(
            f"{where} cannot be used ({type(error).__name__}: {error}). Make the maps again: "
            "python -m pipeline.explain."
        ) from None
