"""The pictures of the study: python docs/method-study/photographs.py INDEX OUT [masks]

INDEX is a CSV file with the columns subset, image, mask, class, x0, y0, x1, y1, and in the same
folder as the pictures. OUT is written with the columns collection, class, id, image, mask, split,
x0, y0, x1, y1: of each collection below the pictures that are measured, in an order that nothing
but their names decides. So is the split, which was fixed before anything was measured: rules were
chosen on "choose" and are reported on "report". With "masks" those alone whose object a mask tells:
pets and airplanes. Of caltech3 only airplanes have masks, so only they are measured.
"""

import hashlib
import sys
from pathlib import Path

import pandas as pd

# Of COCO the classes that ImageNet has, or nearly; its masks name all that is seen, so that boxes
# tell its objects, as they tell the birds.
COCO = (
    *("airplane", "apple", "banana", "bear", "bed", "bench", "bicycle", "bird", "boat", "bus"),
    *("car", "cat", "clock", "couch", "dog", "elephant", "giraffe", "horse", "laptop"),
    *("motorcycle", "oven", "pizza", "refrigerator", "sandwich", "sheep", "stop sign"),
    *("teddy bear", "toilet", "traffic light", "train", "truck", "tv", "umbrella", "zebra"),
)


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """The pictures of the study, from the whole index."""
    collection, mask = table["subset"], table["mask"] != ""
    kept = (
        ((collection == "pets31") & mask)
        | ((collection == "caltech3") & mask)
        | ((collection == "coco200") & table["class"].isin(COCO))
        | (collection == "cub20")
    )
    table = table[kept].assign(collection=collection, id=table["image"])
    table["mask"] = table["mask"].where(table["collection"].isin(["pets31", "caltech3"]), "")
    marks = [hashlib.sha256(name.encode()).digest() for name in table["id"]]
    halves = [("choose", "report")[int.from_bytes(mark[:4]) % 2] for mark in marks]
    order = sorted(range(len(marks)), key=lambda row: marks[row][4:])
    columns = ["collection", "class", "id", "image", "mask", "split", "x0", "y0", "x1", "y1"]
    return table.assign(split=halves).iloc[order][columns]


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4 or not Path(sys.argv[1]).is_file():
        sys.exit(
            "usage: photographs.py INDEX OUT [masks]; INDEX is index.csv in the pictures' folder"
        )
    index, out, *only = sys.argv[1:]
    table = chosen(pd.read_csv(index, dtype=str, keep_default_na=False))
    if only == ["masks"]:
        table = table[table["mask"] != ""]
    table.to_csv(out, index=False)
