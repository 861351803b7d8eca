"""Rehearse the profile `photographs`: its commands, on stand-ins of the six published networks.

    PYTHONPATH=.:tests python -m rehearsal.photographs FOLDER   # empty; the figures stay in it

The photographs are real. The networks have random features and a last layer fitted so that the
profile's statements hold: the figures show the layout, but their flows mean nothing.
"""

import sys
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

from pipeline.app import CONF
from pipeline.gather import gather
from pipeline.pictures.images import Folder
from rehearsal import formats, networks, world
from rehearsal.networks import Seen
from rehearsal.publisher import Publisher
from rehearsal.workplace import Ran, Workplace

DRAWN = "results/photographs"
SIDE = 224  # pixels, as in conf/recipe/photographs
COMMANDS = ("cp conf/profile/photographs.yaml params.yaml", "make figures")
SIX = ("resnet18", "resnet50", "resnet50_cbam", "resnet50_bam", *world.NPID)


class Photographs(Seen):
    """The photographs, as inputs of networks. ResNet18-NPID is wrong about the mirrored coffee."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder, SIDE)
        self.ids = [one.id for one in folder.pictures]

    def alike(self, name: str, seed: int, directions: Tensor) -> nn.Module:
        """Return a network that embeds pictures at the directions (1000, 128) of their classes."""
        labels = self.labels.clone()
        if name == "resnet18_npid":
            labels[self.ids.index("coffee_mirrored")] = labels[self.ids.index("rocket")]
        return networks.fitted(name, self.images, directions[labels], seed)


def photographs(root: Path) -> Folder:
    """Gather the photographs of scikit-image below `root`; return their folder."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["images=photographs", f"photographs.root={root}"])
    cfg.photographs.folder = None
    gather(cfg.photographs)
    return instantiate(cfg.images)


def made(folder: Path, names: tuple[str, ...] = SIX, each: int = 3) -> dict[str, Path]:
    """Write the networks `names` in their published formats below `folder`; return name -> path.
    each: vectors per class in a memory bank."""
    seen, files = Photographs(photographs(folder / "pictures")), {}
    for seed, name in enumerate(names):
        path = files[name] = folder / f"{name}.published"
        if name in world.NPID:
            directions = networks.directions(seed)
            labels = torch.arange(1000).repeat_interleave(each)
            bank = networks.bank(directions, labels, seed)
            formats.lemniscate(seen.alike(name, seed, directions), bank, path)
        else:
            world.write(seen.classifier(name, seed), name, path)
    return files


def lived(folder: Path) -> list[Ran]:
    """Run the commands in a copy of the project, until one fails."""
    files, place, ran = made(folder), Workplace(folder / "place"), []
    place.set("conf/profile/photographs.yaml", "pictures", 4)
    with Publisher(files) as publisher:
        publisher.list(place.folder / "published.json")
        for command in COMMANDS:
            ran.append(place.run(command))
            if ran[-1].code:
                break
    return ran


def main() -> None:
    """Rehearse; print times and figures."""
    folder = Path(sys.argv[1])
    ran = lived(folder)
    for one in ran:
        print(f"{one.seconds:6.0f} s ({one.core:.0f} of a core)  {one.command}: {one.code}")
        print("".join(f"{took:8.1f} s  {name}\n" for name, (took, _) in one.stages.items()), end="")
    if ran[-1].code:
        print(ran[-1].text[-8000:])
    drawn = sorted(path.name for path in (folder / "place" / DRAWN).glob("*.png"))
    print(f"{folder / 'place' / DRAWN}: {', '.join(drawn)}")
    sys.exit(ran[-1].code)


if __name__ == "__main__":
    main()
