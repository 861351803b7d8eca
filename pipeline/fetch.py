"""Stage `fetch`: the published weights of a model of the registry, as safetensors.

    python -m pipeline.fetch model=resnet18 images=imagenet

The published file stays in fetch.folder, where it may also be placed by hand. If the published hash
is known, the file must have it. `python -m pipeline.needs` lists the names of these files, and what
else is needed, before anything is downloaded. A download gets its final name only if it can be
converted. Whether the weights are the right ones is checked by their gate; after that,
`pipeline.verify` records the hash, which later downloads must have.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from omegaconf import DictConfig

from naflow import models
from naflow.errors import BadInput
from naflow.models import Weights
from pipeline.app import stage
from pipeline.atomic import read_json, replacing, write_json
from pipeline.downloads import published, source, weights_lock
from pipeline.downloads.download import MOST, Expected, Got, Unavailable, WrongFile, download
from pipeline.downloads.published import NOWHERE, Elsewhere
from pipeline.downloads.weights_lock import Entry

log = logging.getLogger(__name__)


@stage
def main(cfg: DictConfig) -> None:
    """Fetch."""
    prepare(cfg)


def prepare(cfg: DictConfig) -> None:
    """Download the weights of cfg.model.name and convert them to cfg.model.weights.

    Raises BadInput if the model is trained on these pictures: the download would replace the
    trained weights.
    """
    name, place = cfg.model.name, cfg.fetch
    if "steps" in cfg.recipe:
        raise BadInput(
            f"On images={cfg.images.name} {name} is trained: "
            f"python -m pipeline.train model={name} images={cfg.images.name}. Published weights "
            f"are for other pictures: python -m pipeline.fetch model={name} images=imagenet."
        )
    instead = published.read(place.published)
    path, entry = fetch(
        name, Path(place.folder), Path(place.lock), place.mirror, cfg.quiet, instead
    )
    convert(name, path, Path(cfg.model.weights))
    source.write(Path(cfg.model.weights), entry)


def fetch(
    name: str,
    folder: Path,
    lock: Path,
    mirror: str | None = None,
    quiet: bool | None = None,
    instead: Elsewhere = NOWHERE,
) -> tuple[Path, Entry]:
    """Return a model's published file and its origin. The file is in an installed package, else in
    `folder`, to which it is downloaded from its card's address, or from `instead`.

    The file must have the published hash, or that of `lock`. Without a known hash, a file from a
    mirror or placed by hand is accepted with a warning. Raises BadInput for a model without
    published weights, and as `wanted`, `download` and `naflow.models.installed` do.
    """
    if (installed := models.installed(name)) is not None:
        one = next(one for one in models.card(name).weights if one.installed is not None)
        return installed, Entry(installed.name, one.size or 0, one.sha256 or "", one.address)
    locked = weights_lock.read(lock).get(name)
    files = [(where(folder, name, one), one) for one in wanted(name, lock, locked, instead)]
    here = [(path, one) for path, one in files if path.exists()]  # placed there on purpose
    reasons, kind = [], Unavailable
    for path, one in here or files:
        try:
            got = download(
                [one.address],
                path,
                expected(name, one),
                mirror=mirror,
                quiet=quiet,
                arriving=partial(_note, path, one.address),
            )
        except (Unavailable, WrongFile) as error:
            reasons.append(str(error))
            if isinstance(error, WrongFile):
                kind = WrongFile
                reasons[-1] += _way_out(name, lock, locked, one)
            continue
        entry = Entry(path.name, path.stat().st_size, got.sha256, _origin(path, got, files))
        if one.sha256 is None and not entry.address:
            how = f"is from {got.source}" if got.source else "was placed by hand"
            log.warning("%s %s: only its gate can tell whether it is right.", path, how)
        return path, entry
    raise kind(" ".join(dict.fromkeys(reasons)))


def wanted(
    name: str, lock: Path, locked: Entry | None, instead: Elsewhere = NOWHERE
) -> list[Weights]:
    """Return a model's published files, in order; if the lock names one, only that one, with its
    hash. The lock is not used for files from `instead`.

    Raises BadInput if there are none, and if the lock names an address that is not in the card.
    """
    if name in instead:
        return list(instead[name])
    weights = models.card(name).weights
    if not weights:
        raise BadInput(f"{name}: its weights are not published. Train it.")
    if locked is None:
        return list(weights)
    held = [one for one in weights if one.address == locked.address]
    if not held:
        raise BadInput(
            f"{lock}: {locked.address} is no address of {name}'s weights any more. Remove the "
            "entry to take one of those that its card names."
        )
    return [replace(one, sha256=one.sha256 or locked.sha256) for one in held]


def where(folder: Path, name: str, weights: Weights) -> Path:
    """Return the path of a model's file, placed there by hand or to be downloaded.

    A name that is not on the model's card gets a folder of its own: those of two models may be the
    same.
    """
    file, known = _file(name, weights), [_file(name, one) for one in models.card(name).weights]
    return folder / file if file in known else folder / name / file


def _file(name: str, weights: Weights) -> str:
    """Return the file's published name, or the model's if that has no suffix."""
    file = Path(urlsplit(weights.address).path).name
    return file if "." in file else f"{name}.pth"


def expected(name: str, weights: Weights) -> Expected:
    """Return the checks of a published file, those of its content included: that it fits the
    network, and holds NPID's memory bank."""

    def content(path: Path) -> str:
        try:
            models.create(name, path)
            if has_bank(name):
                models.memory_bank(path)
        except BadInput as error:
            return str(error).replace(str(path), "the file").rstrip(".")
        return ""

    most = weights.size or (2 * weights.about if weights.about else MOST)
    return Expected(weights.size, most, weights.sha256, content)


def convert(name: str, path: Path, target: Path) -> None:
    """Convert the published file to safetensors, and write NPID's memory bank beside it.

    Raises BadInput as `naflow.models.convert` and `naflow.models.memory_bank` do.
    """
    if has_bank(name):
        bank = models.memory_bank(path).numpy()
        with replacing(source.bank(target)) as written:
            np.save(written, bank)
    models.convert(name, path, target)


def has_bank(name: str) -> bool:
    """Whether a model's published file also holds the memory bank of its training."""
    return name.endswith("_npid")


def _note(path: Path, address: str, arriving: Path, got: Got) -> None:
    """Write beside `path` the origin of the file that will be moved there."""
    entry = Entry(path.name, arriving.stat().st_size, got.sha256, _published(got, address))
    write_json(_noted(path), asdict(entry))


def _origin(path: Path, got: Got, files: Sequence[tuple[Path, Weights]]) -> str:
    """Return the address, one of those of `files`, that the file came from, "" if it came from
    elsewhere. For a file that existed before, the origin is read from the note beside it."""
    origin = got.source
    if origin is None:
        try:
            noted = Entry(**read_json(_noted(path)))
        except (OSError, ValueError, TypeError):
            return ""
        origin = noted.address if noted.sha256 == got.sha256 else ""
    return origin if origin in [one.address for _, one in files] else ""


def _published(got: Got, address: str) -> str:
    return address if got.source == address else ""


def _noted(path: Path) -> Path:
    return path.with_name(path.name + ".origin.json")


def _way_out(name: str, lock: Path, locked: Entry | None, weights: Weights) -> str:
    if locked:
        return f" Should the new file be right, remove {name} from {lock}."
    if weights.sha256:
        return (
            " A file placed by hand must be the published one, which is known by its hash; other "
            "weights are given as model.weights."
        )
    return ""


if __name__ == "__main__":
    main()
