"""Evaluate flows by Quantus on photographs with masks, and write docs/method-study/quantus.md.

    python -m bench.quantus outputs/published/index.csv /photos --pictures 30

INDEX is written by docs/method-study/photographs.py; PHOTOS is the folder of its pictures. Those
with masks in the half "report" are evaluated, the collections in turn. Finished results are kept:
the command can be stopped, and run again for more pictures. Quantus is in no extra of naflow;
docs/method-study/quantus.sh shows how to install it outside the environment.
"""

from __future__ import annotations

import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

import naflow
from bench import photographs
from bench.photographs import depths, predicted, shown, with_masks
from bench.quantus import judge
from bench.quantus.judge import TESTS, Explained, Remembered, Subject, judged
from bench.quantus.page import OURS, page
from bench.summaries import SEED, store, summaries
from naflow.errors import BadInput
from naflow.models import Pretrained, pretrained
from pipeline.fingerprint import fingerprint
from pipeline.measuring.parts import write
from pipeline.pictures.images import Picture

COMPARED = (*OURS, "sglrp", "clrp", "hirescam", "layercam", "gradcam")


def main() -> None:
    """Evaluate picture by picture; write the tables and the page."""
    options = photographs.options("quantus", 30, "The flows, judged by Quantus.")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # Quantus warns of constant maps, which have no ranks
    try:
        version = judge.imported().__version__
        found = pd.concat(_judged(options, version))
        _write(found, options.page, version)
    except BadInput as error:
        sys.exit(str(error))


def _judged(options: Namespace, version: str) -> Iterator[pd.DataFrame]:
    """Yield a table per picture and method: one row per depth, one column per test."""
    known = pretrained(photographs.MODEL)
    chosen = with_masks(options.index, options.photos, options.pictures, known.input.size)
    for number, (picture, subject) in enumerate(subjects(known, chosen)):
        layers = depths(known, subject.image)
        for name in COMPARED:
            settings = [photographs.MODEL, name, layers, subject.seed, version]
            key = fingerprint(settings, subject.image, subject.mask, naflow, judge)
            part = options.parts / name / f"{key[:20]}.csv"
            if not part.exists():
                start = time.perf_counter()
                table = pd.DataFrame(judged(subject, Explained(name, layers)))
                write(part, table.assign(layer=layers))
                took = time.perf_counter() - start
                print(f"{number + 1}/{len(chosen)} {picture.id} {name}: {took:.0f} s", flush=True)
            depth = [(row + 1) / len(layers) for row in range(len(layers))]
            yield pd.read_csv(part).assign(method=name, picture=picture.id, depth=depth)


def subjects(known: Pretrained, chosen: list[Picture]) -> Iterator[tuple[Picture, Subject]]:
    """Yield each picture and its subject; the class explained is the predicted one."""
    for number, (one, image, mask) in enumerate(shown(known, chosen)):
        model, target = Remembered(known.network), predicted(known, image)
        yield one, Subject(model, image, mask, target, SEED + number)


def _write(found: pd.DataFrame, place: Path, version: str) -> None:
    """Write the tables, in the folder of the page's name, and the page."""
    measures = [name for name in found if name in TESTS or "empty" in str(name)]
    means, leads = summaries(found, OURS, measures, [*TESTS])
    store(place, means, leads, page(means, leads, version, place.stem))


if __name__ == "__main__":
    main()
