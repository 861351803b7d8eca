"""`naflow models` and `naflow plan`: list networks, and show what an inversion will cost."""

from __future__ import annotations

import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from itertools import zip_longest

import torch

from naflow.cascade import NAFlow
from naflow.cli.sources import source
from naflow.models import ModelCard, card, list_models
from naflow.table import aligned

#: The columns of `naflow models` and their widths, which fit into a terminal of 100 characters.
_WIDTHS = {"name": 18, "task": 27, "weights": 13, "parameters": 10, "px": 3, "licence": 19}
_MORE = "`naflow models NAME` says where the weights are, and the accuracy that they must reach."


def models(arguments: Namespace) -> int:
    """Print the networks of the registry as a table, or the card of one."""
    if arguments.name is not None:
        sys.stdout.write(f"{card(arguments.name)}\n")
        return 0
    rows = [row for name in list_models() for row in _rows(card(name))]
    sys.stdout.write(f"{aligned([tuple(_WIDTHS), *rows])}\n\n{_MORE}\n")
    return 0


def _rows(known: ModelCard) -> Iterator[tuple[str, ...]]:
    """Yield the lines of one network, as many as its longest cell needs."""
    cells = (
        known.name,
        known.task,
        _origin(known),
        f"{known.parameters:,}",
        str(known.input.size),
        known.licence,
    )
    wrapped = (
        textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(cells, _WIDTHS.values(), strict=True)
    )
    yield from zip_longest(*wrapped, fillvalue="")


def _origin(known: ModelCard) -> str:
    """Return where the weights come from, in a word or two."""
    if not known.weights:
        return "to be trained"
    if known.weights[0].installed:
        return "naflow[demo]"
    return "published"


def plan(arguments: Namespace) -> int:
    """Print the plan for one image. It depends only on shapes, so no weights are needed."""
    origin = source(arguments.model)
    explainer = NAFlow(origin.network(None), arguments.preset)
    size = arguments.size or origin.input.size
    sys.stdout.write(f"{explainer.plan(torch.randn(1, 3, size, size))}\n")
    return 0
