"""Where a network comes from: the registry, torchvision, timm, the Hugging Face hub, a package."""

from __future__ import annotations

from importlib import import_module

from naflow.errors import BadInput, near_names
from naflow.models.origins.origin import Fetched, Origin, Published
from naflow.models.registry import list_models

__all__ = ["FORMS", "Fetched", "Origin", "Published", "origin"]

FORMS = "torchvision:NAME, timm:NAME, hf:owner/name, pypi:NAME"
#: Who makes the origin of a name of a scheme; imported when asked for, as each needs a package.
_MAKERS = {
    "pypi": "registered.packaged",
    "torchvision": "from_torchvision.origin",
    "timm": "from_timm.origin",
    "hf": "from_hub.origin",
}


def origin(name: str) -> Origin:
    """The origin of a network by name; its files are fetched when they are asked for.

    Raises BadInput for a name that is unknown, with the near ones, for a package that is missing,
    and for what is no classifier of images.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme not in _MAKERS:
        raise BadInput(f"There is no source of networks {scheme!r}. Known: {FORMS}.")
    module, maker = (_MAKERS[scheme] if colon else "registered.origin").split(".")
    return getattr(import_module(f"{__name__}.{module}"), maker)(rest if colon else name)


def known(name: str) -> bool:
    """Whether a name is of these origins, rather than a function of the user's own."""
    return ":" not in name or name.partition(":")[0] in _MAKERS


def unknown(name: str) -> BadInput:
    """The error for a name without a source that the registry does not know."""
    return BadInput(f"There is no model {name!r}.{near_names(name, list_models())} Or give {FORMS}")
