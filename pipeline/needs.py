"""What a profile needs from elsewhere, told before anything is downloaded.

    python -m pipeline.needs                                    # of the profile in force
    python -m pipeline.needs fetch.profile=conf/profile/paper.yaml

Says for every published network, data set and folder whether it is there, and else what will be
downloaded (bytes, licence, address, other ways) or has to be got by hand, under which name, and how
much disk that takes. Then how long every stage will take here, and how much memory (forecast.py).
Downloads nothing and writes nothing.
"""

import shutil
import sys
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from naflow import models
from naflow.errors import BadInput
from pipeline import cub, device, fetch, forecast
from pipeline.app import CONF, stage
from pipeline.downloads import published, source, weights_lock
from pipeline.downloads.download import Expected, digest
from pipeline.forecast import BANK
from pipeline.pictures.imagenet import DEVKIT, NUMBERED, TAR, USUAL
from pipeline.pictures.synsets import WNID

THERE = "there"
GB = 1e9
BIRDS = 1_250_000_000  # bytes that the archives of CUB-200-2011 unpack to, about
VALIDATION = 6_744_924_160  # bytes of ImageNet's validation set


@dataclass(frozen=True)
class Need:
    """One thing from elsewhere.

    state     in a few words: there, to be downloaded, needed by hand
    facts     what else there is to know, as head and text
    download  bytes still to come over the network
    disk      bytes that it takes once it is here, beyond those that are there
    """

    name: str
    state: str
    facts: tuple[tuple[str, str], ...] = ()
    download: int = 0
    disk: int = 0

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.name}: {self.state}", *(f"  {head:<10}{text}" for head, text in self.facts)]
        )


@stage
def main(cfg: DictConfig) -> None:
    """Print the list, then, as it takes some seconds, what every stage will take."""
    sys.stdout.write(told(cfg, needs(cfg)) + "\n\n")
    sys.stdout.flush()
    where = device.chosen(cfg.device)
    sys.stdout.write(forecast.told(forecast.forecast(cfg), device.named(where)))


def needs(cfg: DictConfig) -> list[Need]:
    """What the profile cfg.fetch.profile needs: networks, then pictures, in its order.

    Raises BadInput where there is no such profile, and for a damaged lock file.
    """
    profile = _profile(Path(cfg.fetch.profile))
    fetched, trained = profile["published"], profile["trained"]
    found = [network(cfg, name, images) for name, images in fetched.items()]
    sets = [_images(cfg, name) for name in dict.fromkeys((trained | fetched).values())]
    roots = {str(images.root): images for images in sets}
    for root, images in roots.items():
        if images._target_.endswith("ImageNet"):
            banked = [name for name in fetched if fetch.has_bank(name)]
            found.append(validation(Path(root), banked))
        elif root == str(cfg.cub.root):
            found.append(birds(cfg))
        elif root == str(cfg.photographs.root):
            found.append(photographs(cfg))
        elif images.name != "shapes":
            there = "there" if Path(root).is_dir() else "needed by hand"
            found.append(Need(images.name, there, (("folder", root),)))
    return found


def network(cfg: DictConfig, name: str, images: str) -> Need:
    """The published weights of a model."""
    card, folder, lock = models.card(name), Path(cfg.fetch.folder), Path(cfg.fetch.lock)
    files = [CONF / "model" / f"{one}.yaml" for one in ("base/registered", name)]
    model = OmegaConf.merge(*map(OmegaConf.load, files))
    weights = Path(OmegaConf.create({"images": {"name": images}, "model": model}).model.weights)
    licence = ("licence", card.licence)
    whole = source.bank(weights).is_file() or not fetch.has_bank(name)
    if whole and source.read(weights) is not None:
        return Need(name, f"there, converted to {weights}", (licence,))
    instead = published.read(cfg.fetch.published)
    files = fetch.wanted(name, lock, weights_lock.read(lock).get(name), instead)
    facts, states = [licence], []
    for one in files:
        path = fetch.where(folder, name, one)
        quick = replace(fetch.expected(name, one), content=lambda path: "")
        states.append(_found(path, quick, one.size or one.about or 0))
        held = "its hash is known" if one.sha256 else "no hash is known: its gate tells"
        facts += [("or" if facts[1:] else "file", f"{path} ({states[-1][0]}; {held})")]
        facts += [("from", str(one))]
    facts += [("by hand", f"put it at {'one of these paths' if files[1:] else 'this path'}")]
    facts += [("mirror", f"{cfg.fetch.mirror}, tried first")] if cfg.fetch.mirror else []
    state, missing = next((one for one in states if one[0].startswith(THERE)), states[0])
    converted = card.parameters * 4 + (BANK if fetch.has_bank(name) else 0)
    return Need(name, state, tuple(facts), missing, missing + 2 * converted)


def birds(cfg: DictConfig) -> Need:
    """CUB-200-2011."""
    root, archives = Path(cfg.cub.root), Path(cfg.cub.archives)
    licence = ("licence", "for non-commercial research (vision.caltech.edu says more)")
    if root.is_dir() and any(root.iterdir()):
        return Need("CUB-200-2011", f"there, in {root}", (licence,))
    facts, missing = [licence], 0
    for name, files in cub.addresses(published.read(cfg.fetch.published)).items():
        states = []
        for one in files:
            known = Expected(one.size, sha256=one.sha256)
            states.append(_found(archives / name, known, one.size or 0))
            held = "its hash is known" if one.sha256 else "no hash is known"
            head = "or" if states[1:] else "file"
            facts += [(head, f"{archives / name} ({states[-1][0]}; {held})"), ("from", str(one))]
        missing += next((one for one in states if one[0].startswith(THERE)), states[0])[1]
    facts += [("by hand", f"put the archives into {archives}, or unpack them into {root}")]
    facts += [("mirror", f"{cfg.cub.mirror}, tried first")] if cfg.cub.mirror else []
    state = "to be downloaded" if missing else f"{THERE}, not unpacked yet"
    return Need("CUB-200-2011", state, tuple(facts), missing, missing + BIRDS)


def validation(root: Path, banked: list[str]) -> Need:
    """ImageNet's validation set, and what of its devkit is needed."""
    devkit = root / f"{DEVKIT}.tar.gz"
    val = root / "val" if (root / "val").is_dir() else root
    entries = list(islice(val.iterdir(), 2000)) if val.is_dir() else []
    folders = any(WNID.fullmatch(one.name) for one in entries)
    files = any(NUMBERED.fullmatch(one.name) for one in entries)
    told = {kind: [root / name for name in names] for kind, names in USUAL.items()}
    labelled = devkit.is_file() or all(any(one.is_file() for one in of) for of in told.values())
    counted = any(o.is_file() for o in (devkit, *told["synsets"]) if o.suffix != ".txt")
    facts = [
        ("licence", "for research and education, under image-net.org's terms of access"),
        ("folder", f"{root}: a link to it will do"),
        ("holds", f"val/n01440764/*.JPEG (class folders), or val/*.JPEG with {devkit.name}"),
        ("or", f"{TAR} (6.7 GB) with {devkit.name} (2.5 MB); it is then unpacked, once"),
        ("by hand", "image-net.org gives it to those who register; it is never downloaded"),
    ]
    if banked:
        state = THERE if counted else "needed by hand"
        of = " and ".join(banked)
        facts += [
            ("also", f"{devkit.name} or its meta.mat, with class folders, too ({state}):"),
            ("", f"the memory banks of {of} have no labels without it"),
        ]
    tar = (root / TAR).is_file()
    if not (folders or files or tar):
        state = "needed by hand"
    elif (folders or labelled) and (counted or not banked):
        state = THERE
    else:
        state = f"its pictures are there, {devkit.name} is needed by hand"
    disk = 0 if folders or files else VALIDATION if tar else 2 * VALIDATION
    return Need("ImageNet-2012, validation set", state, tuple(facts), 0, disk)


def photographs(cfg: DictConfig) -> Need:
    """The photographs that come with scikit-image, and a folder of one's own."""
    own = cfg.photographs.folder
    files = ", ".join(one.file for one in cfg.photographs.known.values())
    facts = (
        ("licence", "CC0 and public domain, each in conf/photographs.yaml"),
        ("holds", f"{files}: they are installed with scikit-image"),
        ("and", own or "yours, where the environment variable PHOTOGRAPHS names their folder"),
    )
    there = own is None or Path(own).is_dir()
    return Need("photographs", THERE if there else f"needed by hand in {own}", facts)


def told(cfg: DictConfig, found: list[Need]) -> str:
    """The whole list."""
    head = f"What {cfg.fetch.profile} needs from elsewhere; nothing has been downloaded.\n"
    if not found:
        return head + "\nNothing: all of it is made here."
    download, disk = (sum(getattr(one, kind) for one in found) for kind in ("download", "disk"))
    by_hand = [one.name for one in found if "by hand" in one.state]
    free = shutil.disk_usage(_existing(Path(cfg.fetch.folder))).free
    small = " That is not enough." if free < disk else ""
    sums = [
        f"To be downloaded: about {download / GB:.1f} GB.",
        f"Needed by hand: {', '.join(by_hand) or 'nothing'}.",
        f"Disk: at most about {disk / GB:.1f} GB more, DVC's copies of weights included, maps and "
        f"figures not; {free / GB:.1f} GB are free.{small}",
    ]
    return "\n".join([head, *(f"{one}\n" for one in found), *sums])


def _profile(path: Path) -> dict[str, dict[str, str]]:
    """Which networks are published, and which trained: name -> the pictures they see."""
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
        return {
            part: {str(name): str(item["images"]) for name, item in (content[part] or {}).items()}
            for part in ("published", "trained")
        }
    except FileNotFoundError:
        told = "there is no such file"
    except (OSError, YAMLError, OmegaConfBaseException, LookupError, TypeError, AttributeError):
        told = "it is no profile"
    known = ", ".join(f"conf/profile/{one.name}" for one in (CONF / "profile").glob("*.yaml"))
    raise BadInput(f"fetch.profile={path}: {told}. There are params.yaml, in force, and {known}.")


def _images(cfg: DictConfig, name: str) -> DictConfig:
    path = CONF / "images" / f"{name}.yaml"
    if not path.is_file():
        raise BadInput(f"{cfg.fetch.profile}: images: {name} is no file of conf/images.")
    images = OmegaConf.load(path)
    roots = {key: cfg[key] for key in ("cub", "scenes", "photographs")}
    return OmegaConf.create({**roots, "images": images}).images


def _found(path: Path, known: Expected, size: int) -> tuple[str, int]:
    """What there is of a file, in words, and how many of its `size` bytes are missing."""
    partial = path.with_name(path.name + ".partial")
    if path.is_file():
        fault = known.fault(path, digest(path) if known.sha256 else "")
        return (f"{THERE}, but wrong: {fault}" if fault else THERE), 0
    if partial.is_file():
        have = partial.stat().st_size
        return f"{have:,} bytes of it are here, the rest is to be downloaded", max(size - have, 0)
    return "to be downloaded", size


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.absolute().parent)


if __name__ == "__main__":
    main()
