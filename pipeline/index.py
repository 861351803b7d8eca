"""Stage `index`: list a folder of pictures in one small file, on which other stages depend.

    python -m pipeline.index images=imagenet

DVC would hash the whole folder, training pictures included. The list has name, size in bytes, class
and box of every picture that is used, so it changes if one is removed, added or replaced by one of
another size. ImageNet's archives are unpacked first.
"""

from pathlib import Path

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.pictures.images import Folder


@stage
def main(cfg: DictConfig) -> None:
    """List the pictures of cfg.images."""
    write(instantiate(cfg.images), Path(cfg.index.file))


def write(images: Folder, path: Path) -> None:
    """Write one row per picture, with paths relative to the folder, so that it can be moved."""
    with replacing(path) as partial:
        table(images).to_csv(partial, index=False, lineterminator="\n")


def table(images: Folder) -> pd.DataFrame:
    """Return one row per picture, in the folder's order."""
    rows = []
    for one in images.pictures:
        files = {"image": one.image, "mask": one.mask}
        row = {"id": one.id, "class": one.label, "split": one.split, "group": one.group}
        for name, file in files.items():
            row[name] = "" if file is None else file.relative_to(images.root).as_posix()
            row[f"{name}_bytes"] = "" if file is None else str(file.stat().st_size)
        corners = one.box or ("",) * 4
        rows.append(row | dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
