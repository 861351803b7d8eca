"""Sources of networks: the registry, torchvision, timm, the Hugging Face hub, a package."""

from __future__ import annotations

from importlib import import_module

from naflow.errors import BadInput, near_names
from naflow.models.origins.origin import Fetched, Origin, Published
from naflow.models.registry import list_models

__all__ = ["FORMS", "Fetched", "Origin", "Published", "origin"]

FORMS = "torchvision:NAME, timm:NAME, hf:owner/name, pypi:NAME"
#: Scheme of a name -> the function that makes its origin; imported on use, as each needs a package.
_MAKERS = {
    "pypi": "registered.packaged",
    "torchvision": "from_torchvision.origin",
    "timm": "from_timm.origin",
    "hf": "from_hub.origin",
}


def origin(name: str) -> Origin:
    """Return the origin of a network by its name. Large files are not downloaded yet.

    Raises BadInput for an unknown name, with similar ones, for a package that is not installed, and
    for a model that is no image classifier.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme not in _MAKERS:
        raise BadInput(f"There is no source of networks {scheme!r}. Known: {FORMS}.")
    module, maker = (_MAKERS[scheme] if colon else "registered.origin").split(".")
    return getattr(import_module(f"{__name__}.{module}"), maker)(rest if colon else name)


def known(name: str) -> bool:
    """Whether a name belongs to one of these sources, and is not a function of the user's own."""
    return ":" not in name or name.partition(":")[0] in _MAKERS


def unknown(name: str) -> BadInput:
    """Return the error for a name without a scheme that the registry does not know."""
    return BadInput(f"There is no model {name!r}.{near_names(name, list_models())} Or give {FORMS}")
