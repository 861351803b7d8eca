"""Stage `index`: what a folder of pictures holds, as one small file that other stages depend on.

    python -m pipeline.index images=imagenet

DVC would hash a folder whole, training pictures and all. The list has the name, the bytes, the
class and the box of every picture that is read, so it changes when one of them is taken away, put
there or replaced by one of another size. Archives of ImageNet are unpacked on the way.
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
    """Write one row a picture, paths relative to the folder, so that it may be moved."""
    with replacing(path) as partial:
        table(images).to_csv(partial, index=False, lineterminator="\n")


def table(images: Folder) -> pd.DataFrame:
    """The rows, in the folder's order."""
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
