"""Stage `fetch`: the published weights of a model of the registry, as safetensors.

    python -m pipeline.fetch model=resnet18 images=imagenet

The published file stays in fetch.folder, where one placed by hand is as good; it must be the
published one where that is known by its hash. Under which names files are looked for, and what else
is needed, `python -m pipeline.needs` tells before anything is downloaded. A file gets its name when
it converts; whether its weights are the right ones is for their gate to say, and only then
`pipeline.verify` holds later downloads to its hash.
"""

import logging
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

    Raises BadInput where the model is trained on these pictures, whose weights it would replace.
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
    """A model's published file, and where it is from: in its package, else in `folder`, downloaded
    unless it is there, from where its card says, or `instead`.

    It is held to the published hash, or to that of `lock`; without one, a file from a mirror or
    placed by hand is taken as it is, and said. Raises BadInput for a model without published
    weights, and as `wanted`, `download` and `naflow.models.installed` do.
    """
    if (installed := models.installed(name)) is not None:
        one = next(one for one in models.card(name).weights if one.installed is not None)
        return installed, Entry(installed.name, one.size or 0, one.sha256 or "", one.address)
    locked = weights_lock.read(lock).get(name)
    files = {where(folder, name, one): one for one in wanted(name, lock, locked, instead)}
    reasons, kind = [], Unavailable
    for path in sorted(files, key=lambda path: not path.exists()):  # else in the card's order
        one = files[path]
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
            if path.exists():  # whoever placed it there means it
                break
            continue
        entry = Entry(path.name, path.stat().st_size, got.sha256, _origin(path, got, one.address))
        if one.sha256 is None and not entry.address:
            how = f"is from {got.source}" if got.source else "was placed by hand"
            log.warning("%s %s: only its gate can tell whether it is right.", path, how)
        return path, entry
    raise kind(" ".join(reasons))


def wanted(
    name: str, lock: Path, locked: Entry | None, instead: Elsewhere = NOWHERE
) -> list[Weights]:
    """A model's published files, in order; where the lock holds one, that one with its hash. The
    lock is of those that the card names: of others nothing is recorded.

    Raises BadInput where there are none, and where the lock names an address that the card lacks.
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
    """Where the file lies: under its published name, or under the model's if that has no ending."""
    file = Path(urlsplit(weights.address).path).name
    return folder / (file if "." in file else f"{name}.pth")


def expected(name: str, weights: Weights) -> Expected:
    """What is known of a published file, its content included: the network's, and NPID's bank."""

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
    """Write the published file as safetensors, and NPID's memory bank beside it.

    Raises BadInput as `naflow.models.convert` and `naflow.models.memory_bank` do.
    """
    if has_bank(name):
        bank = models.memory_bank(path).numpy()
        with replacing(source.bank(target)) as written:
            np.save(written, bank)
    models.convert(name, path, target)


def has_bank(name: str) -> bool:
    """Whether a model's published file also holds the memory bank it learnt with."""
    return name.endswith("_npid")


def _note(path: Path, address: str, arriving: Path, got: Got) -> None:
    """Note beside `path` where the file that is about to be there is from."""
    entry = Entry(path.name, arriving.stat().st_size, got.sha256, _published(got, address))
    write_json(_noted(path), asdict(entry))


def _origin(path: Path, got: Got, address: str) -> str:
    """The published address that the file is from, "" if it is from elsewhere; as was noted when it
    came, if it is found there."""
    if got.source is not None:
        return _published(got, address)
    try:
        noted = Entry(**read_json(_noted(path)))
    except (OSError, ValueError, TypeError):
        return ""
    return address if (noted.sha256, noted.address) == (got.sha256, address) else ""


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
