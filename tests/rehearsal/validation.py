"""Stand-ins for ImageNet's validation set: its three layouts, its devkit and its boxes.

All 1000 classes have their wnids, and a few have pictures, among them the dogs and the tandem
bicycle of the paper's Figures 8 and 9. Of training pictures there are only counts per class, with
the published sum.
"""

import io
import tarfile
from pathlib import Path

import numpy as np
from scipy.io import savemat
from timm.data import ImageNetInfo

from pipeline.pictures.imagenet import BOXES, DEVKIT, TAR, TRUTH
from rehearsal.birds import add
from rehearsal.drawn import box_of, drawn, jpeg

TRAINING = 1_281_167  # pictures that the memory banks have a vector of
TANDEM = "n02835271"
DOGS = ("n02085620", "n02099601", "n02106662", "n02113023")
WNIDS = sorted(ImageNetInfo().label_names())
SHAPES = [(320, 240), (240, 320), (256, 256)]  # width and height in pixels
LAYOUTS = ("class folders", "flat", "archives")


def asked(classes: int) -> list[str]:
    """Return the wnids that get pictures: those of Figures 8 and 9, and others spread over all."""
    spread = [WNIDS[number * 1000 // classes] for number in range(classes)]
    return list(dict.fromkeys([TANDEM, *DOGS, *spread]))[:classes]


def layouts(
    folder: Path, classes: int = 45, each: int = 2, training: int = TRAINING, seed: int = 0
) -> dict[str, Path]:
    """Write the same pictures in every layout below `folder`; return layout -> folder.

    classes   number of classes with pictures
    each      pictures per such class
    training  number of training pictures that the devkit counts
    """
    rng = np.random.default_rng(seed)
    ids = {wnid: n for n, wnid in enumerate(rng.permutation(WNIDS).tolist(), 1)}  # ILSVRC's
    labels = [wnid for wnid in asked(classes) for _ in range(each)]
    order = rng.permutation(len(labels))
    pictures, boxes = {}, {}
    for number, place in enumerate(order.tolist(), 1):
        wnid, stem = labels[place], f"ILSVRC2012_val_{number:08d}"
        image, mask = drawn(WNIDS.index(wnid), SHAPES[number % len(SHAPES)], rng)
        pictures[stem] = (wnid, jpeg(image, grey=number % 40 == 0))
        boxes[stem] = annotation(stem, wnid, image.shape, box_of(mask))
    devkit = packed({
        f"{DEVKIT}/data/meta.mat": meta(ids, training),
        f"{DEVKIT}/data/{TRUTH}": "".join(f"{ids[w]}\n" for w, _ in pictures.values()).encode(),
        f"{DEVKIT}/readme.txt": b"ILSVRC2012\n",
    })  # fmt: skip
    annotations = packed({f"val/{stem}.xml": text for stem, text in boxes.items()})
    for name, root in roots(folder).items():
        root.mkdir(parents=True)
        (root / f"{DEVKIT}.tar.gz").write_bytes(devkit)
        (root / f"{BOXES}.tgz").write_bytes(annotations)
        if name == "archives":
            with tarfile.open(root / TAR, "w") as archive:
                for stem, (_, content) in pictures.items():
                    add(archive, f"{stem}.JPEG", content)
            continue
        for wnid in WNIDS if name == "class folders" else ():
            (root / "val" / wnid).mkdir(parents=True)
        for stem, (wnid, content) in pictures.items():
            place = root / "val" / (wnid if name == "class folders" else "")
            place.mkdir(exist_ok=True, parents=True)
            (place / f"{stem}.JPEG").write_bytes(content)
    return roots(folder)


def roots(folder: Path) -> dict[str, Path]:
    """Return layout -> its folder."""
    return {name: folder / name.replace(" ", "_") for name in LAYOUTS}


def packed(files: dict[str, bytes]) -> bytes:
    """Return a .tar.gz archive of files, name -> content, as bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            add(archive, name, content)
    return buffer.getvalue()


def meta(ids: dict[str, int], training: int) -> bytes:
    """Return meta.mat with the devkit's fields, including two inner nodes."""
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    fields += ["wordnet_height", "num_train_images"]
    count = {wnid: training // 1000 + (n < training % 1000) for n, wnid in enumerate(WNIDS)}
    rows = [(n, wnid, f"{wnid}, it", "a thing", 0, [], 0, count[wnid]) for wnid, n in ids.items()]
    rows += [(1000 + n, f"n9000000{n}", "entity", "all", 2, [1, 2], 1, 0) for n in (1, 2)]
    synsets = np.empty((len(rows), 1), [(field, object) for field in fields])
    for place, row in enumerate(rows):
        synsets[place, 0] = row
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": synsets})
    return buffer.getvalue()


def annotation(stem: str, wnid: str, shape: tuple[int, ...], box: tuple[int, ...]) -> bytes:
    """Return an object's box in the format of PASCAL VOC."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    told = "".join(f"<{name}>{value}</{name}>" for name, value in corners)
    return (
        f"<annotation><folder>val</folder><filename>{stem}</filename>"
        f"<size><width>{shape[1]}</width><height>{shape[0]}</height><depth>3</depth></size>"
        f"<segmented>0</segmented><object><name>{wnid}</name><pose>Unspecified</pose>"
        f"<bndbox>{told}</bndbox></object></annotation>"
    ).encode()
