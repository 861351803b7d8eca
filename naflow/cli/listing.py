"""`naflow models` and `naflow plan`: what can be known before any work."""

from __future__ import annotations

import sys
from argparse import Namespace
from urllib.parse import urlparse

import torch

from naflow.cascade import NAFlow
from naflow.cli.sources import source
from naflow.models import ModelCard, card, list_models
from naflow.table import aligned


def models(arguments: Namespace) -> int:
    """Print the networks of the registry, one a line, or all that is known of one."""
    if arguments.name is not None:
        sys.stdout.write(f"{card(arguments.name)}\n")
        return 0
    heads = ("name", "task", "weights", "parameters", "pixels", "licence", "gate")
    sys.stdout.write(f"{aligned([heads, *(_row(card(name)) for name in list_models())])}\n")
    return 0


def _row(known: ModelCard) -> tuple[str, ...]:
    return (
        known.name,
        known.task,
        _origin(known),
        f"{known.parameters:,}",
        str(known.input.size),
        known.licence,
        known.gate,
    )


def _origin(known: ModelCard) -> str:
    """Where the weights come from, in a word or two."""
    if not known.weights:
        return "to be trained"
    if known.weights[0].installed:
        return "naflow[demo]"
    return str(urlparse(known.weights[0].address).hostname)


def plan(arguments: Namespace) -> int:
    """Print the plan of one image. No weights are needed: it depends on shapes alone."""
    origin = source(arguments.model)
    explainer = NAFlow(origin.network(None), arguments.preset)
    size = arguments.size or origin.input.size
    sys.stdout.write(f"{explainer.plan(torch.randn(1, 3, size, size))}\n")
    return 0
