"""Evaluate flows by Quantus on photographs with masks, and write docs/method-study/quantus.md.

    python -m bench.quantus outputs/published/index.csv /photos --pictures 24

INDEX is written by docs/method-study/photographs.py; PHOTOS is the folder of its pictures. Those
with masks in the half "report" are evaluated, the collections in turn. Finished results are kept:
the command can be stopped, and run again for more pictures. Quantus is in no extra of naflow;
docs/method-study/quantus.sh shows how to install it outside the environment.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

import naflow
from bench.quantus import judge
from bench.quantus.judge import TESTS, Explained, Remembered, Subject, judged
from bench.quantus.page import OURS, page
from naflow.errors import BadInput
from naflow.methods import METHODS
from naflow.models import Pretrained, pretrained
from pipeline.atomic import replacing
from pipeline.explanations.cases import in_turn
from pipeline.explanations.objects import measurable
from pipeline.fingerprint import fingerprint
from pipeline.measure import spread
from pipeline.measuring import thirds
from pipeline.measuring.parts import write
from pipeline.pictures.images import Folder, Part, Picture
from pipeline.pictures.pixels import normalised, read

MODEL = "pypi:efficientnet_lite0"
COMPARED = (*OURS, "sglrp", "clrp", "hirescam", "layercam", "gradcam")
RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0


def main() -> None:
    """Evaluate picture by picture; write the tables and the page."""
    options = _options()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # Quantus warns of constant maps, which have no ranks
    try:
        version = judge.imported().__version__
        found = pd.concat(_judged(options, version))
        _write(found, options.page, version)
    except BadInput as error:
        sys.exit(str(error))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The flows, judged by Quantus.")
    parser.add_argument("index", type=Path, help="as docs/method-study/photographs.py writes it")
    parser.add_argument("photos", type=Path, help="the folder of its pictures")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--parts", type=Path, default=Path("outputs/quantus"))
    parser.add_argument("--page", type=Path, default=Path("docs/method-study/quantus.md"))
    return parser.parse_args()


def _judged(options: argparse.Namespace, version: str) -> Iterator[pd.DataFrame]:
    """Yield a table per picture and method: one row per depth, one column per test."""
    known = pretrained(MODEL)
    chosen = pictures(options.index, options.photos, options.pictures, known.input.size)
    for number, (picture, subject) in enumerate(subjects(known, chosen)):
        layers = depths(known, subject)
        for name in COMPARED:
            settings = [MODEL, name, layers, subject.seed, version]
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


def pictures(index: Path, photos: Path, count: int, size: int) -> list[Picture]:
    """Return the first `count` pictures of the half "report" with a mask and some background."""
    columns = {name: name for name in ("id", "image", "mask", "split")}
    columns |= {"label": "collection"}
    splits = {"train": None, "val": None, "test": "report"}
    folder = Folder(str(photos), "photographs", str(index.resolve()), columns, splits=splits)
    found = []
    for one in in_turn(folder.part(Part("base", "test"))[1]):
        if one.mask is None or len(found) == count:
            continue
        if measurable(read([one], [], size, "crop", quiet=True).masks)[0]:
            found.append(one)
    if not found:
        raise BadInput(f'{index} names no picture with a mask in its half "report".')
    return found


def subjects(known: Pretrained, chosen: list[Picture]) -> Iterator[tuple[Picture, Subject]]:
    """Yield each picture and its subject; the class explained is the predicted one."""
    seen = known.input
    for number, one in enumerate(chosen):
        pixels = read([one], [], seen.size, "crop", quiet=True)
        image = normalised(pixels.images, seen.mean, seen.std)
        with torch.no_grad():
            target = int(known.network(image).argmax())
        model = Remembered(known.network)
        yield one, Subject(model, image, pixels.masks[0], target, SEED + number)


def depths(known: Pretrained, subject: Subject) -> list[str]:
    """Return the layer in the middle of each third of the network's blocks."""
    blocks = METHODS["hirescam"](known.network)(subject.image).blocks
    return spread(blocks, len(thirds.THIRDS))


def _write(found: pd.DataFrame, place: Path, version: str) -> None:
    """Write the tables, in the folder of the page's name, and the page."""
    by_method = {str(name): table for name, table in found.groupby("method", sort=False)}
    measures = [name for name in found if name in TESTS or "empty" in str(name)]
    resampling = RESAMPLES, CONFIDENCE, SEED
    means = pd.concat(
        thirds.means(table, measures, *resampling).assign(method=name)
        for name, table in by_method.items()
    )
    leads = pd.concat(
        thirds.lead(by_method[ours], other, [*TESTS], *resampling).assign(method=ours, less=name)
        for ours in OURS
        for name, other in by_method.items()
        if name != ours
    )
    for name, table in {"means": means, "leads": leads}.items():
        write(place.with_suffix("") / f"{name}.csv", table)
    with replacing(place) as partial:
        partial.write_text(page(means, leads, version, place.stem), encoding="utf-8")


if __name__ == "__main__":
    main()
