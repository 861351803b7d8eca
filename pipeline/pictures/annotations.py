"""Read ImageNet's boxes of objects: one XML file per picture, in the format of PASCAL VOC."""

import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from naflow.errors import BadInput
from pipeline.pictures.images import Box

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@cache  # a sweep opens the same folder of pictures many times
def boxes(path: Path) -> dict[str, Box]:
    """Return the box of each picture, by its file's name without suffix; for several objects, the
    smallest box around all of them.

    `path` is a folder, which may have subfolders, or the published archive, which is read without
    unpacking. Raises BadInput for anything else, and for a file that is no annotation.
    """
    found: dict[str, Box] = {}
    for name, content in _files(path):
        try:
            corners = [
                [float(box.findtext(corner, "")) for corner in CORNERS]
                for box in ElementTree.fromstring(content).iterfind("object/bndbox")
            ]
            if not corners or any(not (x0 < x1 and y0 < y1) for x0, y0, x1, y1 in corners):
                raise ValueError("it has no box, or an empty one")
        except (ElementTree.ParseError, ValueError) as error:
            raise BadInput(
                f"{path}: {name} is no annotation of objects in the form of PASCAL VOC ({error}). "
                "Unpack it again, or leave boxes out: images.boxes=false."
            ) from None
        left, top, right, bottom = zip(*corners, strict=True)
        found[PurePosixPath(name).stem] = (min(left), min(top), max(right), max(bottom))
    if not found:
        raise BadInput(f"{path} holds no XML files: give another images.boxes, or false.")
    return found


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of all XML files."""
    if path.is_dir():
        for file in sorted(path.rglob("*.xml")):
            yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".xml") else None
                if content is not None:
                    yield member.name, content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(
            f"images.boxes={path} is neither a folder nor an archive that can be read ({error}). "
            "Give ILSVRC2012_bbox_val_v3.tgz or the folder it was unpacked to, or false."
        ) from None
