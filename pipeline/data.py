"""Stage `data`: draw the embedded scenes and write them in the layout of a folder of photographs.

    python -m pipeline.data scenes.root=data/shapes

Writes images/*.png, masks/*.png and index.csv, whose columns every folder of pictures may use. Its
last column is a hash of the picture's and the mask's bytes. So index.csv depends on every pixel,
and DVC need not hash thousands of files for each stage.
"""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image
from tqdm import tqdm

from naflow.errors import BadInput, near_names
from pipeline.app import stage
from pipeline.atomic import locked, replacing_folder, restore
from pipeline.scenes.shapes import scene
from pipeline.scenes.silhouettes import SILHOUETTES

COLUMNS = [
    *("id", "image", "mask", "class", "class_id", "split", "class_split"),
    *("x0", "y0", "x1", "y1"),
    "sha256",
]


@stage
def main(cfg: DictConfig) -> None:
    """Draw."""
    draw(cfg)


def draw(cfg: DictConfig) -> None:
    """Draw every scene of conf/scenes.yaml into a folder, whole or not at all.

    Raises BadInput if the folder holds other files.
    """
    root = Path(cfg.scenes.root)
    with locked(root):
        restore(root)
        if root.exists() and any(root.iterdir()) and not is_ours(root / "index.csv"):
            raise BadInput(
                f"{root} holds other files than scenes: empty it, or give another scenes.root."
            )
        with replacing_folder(root) as partial:
            write(partial, cfg.scenes, quiet=cfg.quiet)


def is_ours(index: Path) -> bool:
    """Whether this stage wrote the index: a folder of other pictures must not be replaced."""
    if not index.is_file():
        return False
    with index.open("rb") as file:
        return file.readline().strip() == ",".join(COLUMNS).encode()


def write(root: Path, scenes: DictConfig, quiet: bool | None = None) -> None:
    """Draw the scenes into `root`. Scene number n depends only on the seed and n."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    try:
        todo = list(planned(scenes))
    except (TypeError, AttributeError) as error:
        raise BadInput(
            "conf/scenes.yaml: classes must be {part: [names]}, and count {part: {split: number}} "
            f"of the same parts ({error})."
        ) from None
    if not todo:
        raise BadInput("scenes.count: it asks for no scene at all.")
    rows = []
    for number, row in enumerate(tqdm(todo, desc="scenes", disable=quiet)):
        drawn = scene(row["class"], scenes.size, np.random.default_rng([scenes.seed, number]))
        Image.fromarray(drawn.image).save(root / row["image"], compress_level=4)
        Image.fromarray(drawn.mask).save(root / row["mask"])
        box = dict(zip(("x0", "y0", "x1", "y1"), drawn.box, strict=True))
        files = (root / row["image"]).read_bytes() + (root / row["mask"]).read_bytes()
        rows.append(row | box | {"sha256": hashlib.sha256(files).hexdigest()})
    with open(root / "index.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def planned(scenes: DictConfig) -> Iterator[dict]:
    """Yield the rows of index.csv without boxes. Raises BadInput for an unknown silhouette."""
    class_id = 0
    for class_split, names in scenes.classes.items():
        for name in names:
            if name not in SILHOUETTES:
                raise BadInput(
                    f"conf/scenes.yaml: there is no silhouette {name!r}."
                    f"{near_names(name, SILHOUETTES)}"
                )
            for split, count in scenes.count[class_split].items():
                for number in range(count):
                    key = f"{name}_{split}_{number:03d}"
                    yield {
                        "id": key,
                        "image": f"images/{key}.png",
                        "mask": f"masks/{key}.png",
                        "class": name,
                        "class_id": class_id,
                        "split": split,
                        "class_split": class_split,
                    }
            class_id += 1


if __name__ == "__main__":
    main()
