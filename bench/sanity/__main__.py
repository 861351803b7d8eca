"""Check on photographs whether maps go when what they should depend on goes.

    python -m bench.sanity outputs/published/index.csv /photos --pictures 24

INDEX is written by docs/method-study/photographs.py; PHOTOS is the folder of its pictures, whose
own index.csv names the subset caltech3, from which labels are learnt. Writes
docs/method-study/sanity.md and its tables. Finished results are kept: the command can be stopped,
and run again for more pictures.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch
from torch import Tensor

import naflow
from bench import photographs
from bench.sanity import alike, cascade, labels, pairs
from bench.sanity.page import COMPARED, OURS, page
from bench.summaries import SEED, store, summaries
from naflow.errors import BadInput
from naflow.models import Pretrained, pretrained
from pipeline.fingerprint import fingerprint
from pipeline.measuring.parts import write

METHODS = (*OURS, "sglrp", "clrp", "hirescam", "layercam", "gradcam", "mean_activation")
ABOUT = ("method", "picture", "depth")

Measured = tuple[str, str, pd.DataFrame]  # the method, the picture's name, one row per layer


def main() -> None:
    """Check every method on every picture; write the tables and the page."""
    options = photographs.options("sanity", 24, "Sanity checks of the methods on photographs.")
    torch.set_num_threads(1)
    try:
        known = pretrained(photographs.MODEL)
        checks = (_cascade, _pairs, _labels)
        _write([list(check(known, options)) for check in checks], options.page)
    except BadInput as error:
        sys.exit(str(error))


def _cascade(known: Pretrained, options: Namespace) -> Iterator[Measured]:
    size = known.input.size
    chosen = photographs.with_masks(options.index, options.photos, options.pictures, size)
    for number, (picture, image, mask) in enumerate(photographs.shown(known, chosen)):
        target, layers = photographs.predicted(known, image), photographs.depths(known, image)
        seed = SEED + number
        for name in METHODS:
            given = name, known.network, image, target, mask, layers, seed
            part = _part(options, cascade, [photographs.MODEL, name, layers, seed], image, mask)
            yield name, picture.id, _stored(part, partial(cascade.randomised, *given))


def _pairs(known: Pretrained, options: Namespace) -> Iterator[Measured]:
    pictures = photographs.half(options.index, options.photos)
    for pair in pairs.pairs(known, pictures, options.pictures):
        both, _, images = pair
        layers = photographs.depths(known, images[:1])
        for name in METHODS:
            part = _part(options, pairs, [photographs.MODEL, name, layers], images)
            yield name, both, _stored(part, partial(pairs.compared, name, known, pair, layers))


def _labels(known: Pretrained, options: Namespace) -> Iterator[Measured]:
    lesson = labels.lesson(options.photos, known.input, SEED)
    networks = labels.learnt(lesson, options.parts / "networks")
    states = [tensor for one in networks.values() for tensor in one.state_dict().values()]
    weights = fingerprint(None, *states)
    layers = photographs.depths(known, lesson.images[:1])
    for row in labels.asked(lesson, options.pictures):
        for name in METHODS:
            given = name, networks, lesson, row, layers
            part = _part(options, labels, [weights, name, layers], lesson.images[row])
            yield name, f"learnt {row}", _stored(part, partial(labels.compared, *given))


def _part(options: Namespace, check: ModuleType, settings: list, *tensors: Tensor) -> Path:
    key = fingerprint(settings, *tensors, naflow, alike, check)
    return options.parts / check.__name__.rpartition(".")[2] / f"{key[:20]}.csv"


def _stored(part: Path, measure: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    if not part.exists():
        write(part, measure())
        print(part, flush=True)
    return pd.read_csv(part)


def _write(checks: list[list[Measured]], place: Path) -> None:
    """Write the tables, in the folder of the page's name, and the page."""
    summed = [_summed(check) for check in checks]
    means, leads = (pd.concat(tables) for tables in zip(*summed, strict=True))
    store(place, means, leads, page(means, leads, place.stem))


def _summed(check: list[Measured]) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = []
    for method, picture, table in check:
        depth = [(row + 1) / len(table) for row in range(len(table))]
        tables.append(table.assign(method=method, picture=picture, depth=depth))
    every = pd.concat(tables)
    measures = [name for name in every if name not in ABOUT]
    return summaries(every, OURS, measures, [name for name in COMPARED if name in measures])


if __name__ == "__main__":
    main()
