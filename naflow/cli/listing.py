"""`naflow models` and `naflow plan`: what can be known before any work."""

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

#: The columns of `naflow models`, and how wide they may be: a terminal of 100 letters holds them.
_WIDTHS = {"name": 18, "task": 27, "weights": 13, "parameters": 10, "px": 3, "licence": 19}
_MORE = "`naflow models NAME` says where the weights are, and the number that they are checked by."


def models(arguments: Namespace) -> int:
    """Print the networks of the registry, one a line, or all that is known of one."""
    if arguments.name is not None:
        sys.stdout.write(f"{card(arguments.name)}\n")
        return 0
    rows = [row for name in list_models() for row in _rows(card(name))]
    sys.stdout.write(f"{aligned([tuple(_WIDTHS), *rows])}\n\n{_MORE}\n")
    return 0


def _rows(known: ModelCard) -> Iterator[tuple[str, ...]]:
    """One network, of as many lines as its longest cell takes."""
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
    """Where the weights come from, in a word or two."""
    if not known.weights:
        return "to be trained"
    if known.weights[0].installed:
        return "naflow[demo]"
    return "published"


def plan(arguments: Namespace) -> int:
    """Print the plan of one image. No weights are needed: it depends on shapes alone."""
    origin = source(arguments.model)
    explainer = NAFlow(origin.network(None), arguments.preset)
    size = arguments.size or origin.input.size
    sys.stdout.write(f"{explainer.plan(torch.randn(1, 3, size, size))}\n")
    return 0
