"""Stand-ins for the two archives of CUB-200-2011, in their layout.

They have 29 of the 200 classes, under their published numbers and names: some in every part of
both class splits, and the four that the paper's Figures 10 and 11 show.
"""

import io
import tarfile
from pathlib import Path

import numpy as np

from rehearsal.drawn import box_of, drawn, jpeg, png

CLASSES = (  # number and name
    """
001.Black_footed_Albatross 002.Laysan_Albatross 012.Yellow_headed_Blackbird 016.Painted_Bunting
017.Cardinal 020.Yellow_breasted_Chat 027.Shiny_Cowbird 028.Brown_Creeper 029.American_Crow
036.Northern_Flicker 047.American_Goldfinch 073.Blue_Jay 076.Dark_eyed_Junco
083.White_breasted_Kingfisher 087.Mallard 094.White_breasted_Nuthatch 095.Baltimore_Oriole
100.Brown_Pelican 106.Horned_Puffin 118.House_Sparrow 136.Barn_Swallow 140.Summer_Tanager
151.Black_capped_Vireo 171.Myrtle_Warbler 188.Pileated_Woodpecker 191.Red_headed_Woodpecker
195.Carolina_Wren 199.Winter_Wren 200.Common_Yellowthroat
""".split()  # noqa: SIM905
)
SHAPES = [(160, 120), (120, 150), (150, 150)]  # width and height in pixels


def archives(folder: Path, each: int = 18, seed: int = 0) -> dict[str, Path]:
    """Write both archives, `each` pictures per class, into `folder`; return name -> path."""
    rng, folder = np.random.default_rng(seed), folder / "cub"
    folder.mkdir(parents=True)
    made = {name: folder / name for name in ("CUB_200_2011.tgz", "segmentations.tgz")}
    lists: dict[str, list[str]] = {}

    def note(name: str, *cells: object) -> None:
        lists.setdefault(name, []).append(" ".join(map(str, cells)))

    key = 0
    with (
        tarfile.open(made["CUB_200_2011.tgz"], "w:gz", compresslevel=1) as birds,
        tarfile.open(made["segmentations.tgz"], "w:gz", compresslevel=1) as masks,
    ):
        for place, name in enumerate(CLASSES):
            note("classes", int(name[:3]), name)
            for number in range(each):
                key += 1
                image, mask = drawn(place, SHAPES[key % len(SHAPES)], rng)
                path = f"{name}/{name[4:]}_{number:04d}_{key}"
                x0, y0, x1, y1 = map(float, box_of(mask))
                note("images", key, f"{path}.jpg")
                note("image_class_labels", key, int(name[:3]))
                note("train_test_split", key, number % 2)
                note("bounding_boxes", key, x0, y0, x1 - x0, y1 - y0)
                add(birds, f"CUB_200_2011/images/{path}.jpg", jpeg(image, grey=key % 100 == 0))
                add(masks, f"segmentations/{path}.png", png(mask))
        stray = f"CUB_200_2011/images/{CLASSES[0]}/{CLASSES[0][4:]}_rgb.jpg"  # in no list
        add(birds, stray, jpeg(image))
        for name, lines in lists.items():
            add(birds, f"CUB_200_2011/{name}.txt", "".join(f"{one}\n" for one in lines).encode())
        for name in ("CUB_200_2011/README", "CUB_200_2011/parts/parts.txt", "attributes.txt"):
            add(birds, name, b"1 back\n")
    return made


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file of these bytes to an archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
