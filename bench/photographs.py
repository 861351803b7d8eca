"""The photographs that methods are judged on, of the half that no rule was chosen on."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.methods import METHODS
from naflow.models import Pretrained
from pipeline.explanations.cases import in_turn
from pipeline.explanations.objects import measurable
from pipeline.measure import spread
from pipeline.measuring import thirds
from pipeline.pictures.images import Folder, Part, Picture
from pipeline.pictures.pixels import normalised, read

MODEL = "pypi:efficientnet_lite0"


def options(name: str, pictures: int, description: str) -> argparse.Namespace:
    """Return what the command line of a study of these photographs says: index, photos, pictures,
    parts (the folder of finished results) and page."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("index", type=Path, help="as docs/method-study/photographs.py writes it")
    parser.add_argument("photos", type=Path, help="the folder of its pictures")
    parser.add_argument("--pictures", type=int, default=pictures)
    parser.add_argument("--parts", type=Path, default=Path(f"outputs/{name}"))
    parser.add_argument("--page", type=Path, default=Path(f"docs/method-study/{name}.md"))
    return parser.parse_args()


def half(index: Path, photos: Path) -> list[Picture]:
    """Return the pictures of the half "report", the collections in turn.

    index   as docs/method-study/photographs.py writes it
    photos  the folder of its pictures
    """
    columns = {name: name for name in ("id", "image", "mask", "split")}
    columns |= {"label": "collection"}
    splits = {"train": None, "val": None, "test": "report"}
    folder = Folder(str(photos), "photographs", str(index.resolve()), columns, splits=splits)
    return in_turn(folder.part(Part("base", "test"))[1])


def with_masks(index: Path, photos: Path, count: int, size: int) -> list[Picture]:
    """Return the first `count` pictures of the half with a mask and some background: pets and
    airplanes. Raises BadInput if there are none, or none is asked for."""
    if count < 1:
        raise BadInput(f"{count} pictures: at least one is needed.")
    found: list[Picture] = []
    for one in half(index, photos):
        if len(found) == count:
            break
        if one.mask is not None and measurable(read([one], [], size, "crop", quiet=True).masks)[0]:
            found.append(one)
    if not found:
        raise BadInput(f'{index} names no picture with a mask in its half "report".')
    return found


def shown(
    known: Pretrained, pictures: Iterable[Picture]
) -> Iterator[tuple[Picture, Tensor, Tensor]]:
    """Yield each picture, the network's normalised input (1, 3, size, size), and the mask
    (size, size) bool."""
    seen = known.input
    for one in pictures:
        pixels = read([one], [], seen.size, "crop", quiet=True)
        yield one, normalised(pixels.images, seen.mean, seen.std), pixels.masks[0]


def predicted(known: Pretrained, image: Tensor) -> int:
    """Return the class that the network gives one image (1, 3, H, W)."""
    with torch.no_grad():
        return int(known.network(image).argmax())


def depths(known: Pretrained, image: Tensor) -> list[str]:
    """Return the layer in the middle of each third of the network's blocks."""
    blocks = METHODS["hirescam"](known.network)(image).blocks
    return spread(blocks, len(thirds.THIRDS))
