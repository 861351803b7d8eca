"""Stage `fetch`: the published weights of a model of the registry, as safetensors.

    python -m pipeline.fetch model=resnet18 images=imagenet

The published file stays in fetch.folder, where one placed by hand is as good. Whether weights are
the right ones is for their gate to say: this stage sees to it that they stay the same.
"""

import logging
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from omegaconf import DictConfig

from naflow import models
from naflow.errors import BadInput
from naflow.models import Weights
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.downloads import weights_lock
from pipeline.downloads.download import Unavailable, WrongFile, download
from pipeline.downloads.weights_lock import Entry

log = logging.getLogger(__name__)


@stage
def main(cfg: DictConfig) -> None:
    """Download the weights of cfg.model.name and convert them to cfg.model.weights."""
    name, place = cfg.model.name, cfg.fetch
    source = fetch(name, Path(place.folder), Path(place.lock), place.mirror, cfg.quiet)
    convert(name, source, Path(cfg.model.weights))


def fetch(
    name: str, folder: Path, lock: Path, mirror: str | None = None, quiet: bool | None = None
) -> Path:
    """The path of a model's published file: in its package, else in `folder`, downloaded unless it
    is there.

    A download without a published hash is recorded in `lock`, and is held to that from then on. A
    file that was placed by hand and that neither knows is taken as it is. Raises BadInput for a
    model without published weights, and as `wanted`, `download` and `naflow.models.installed` do.
    """
    if (installed := models.installed(name)) is not None:
        return installed
    locked = weights_lock.read(lock).get(name)
    files = {_path(folder, name, one): one for one in wanted(name, lock, locked)}
    missing = []
    for path in sorted(files, key=lambda path: not path.exists()):  # else in the card's order
        one, placed = files[path], path.exists()
        try:
            sha256 = download(
                [one.address], path, size=one.size, sha256=one.sha256, mirror=mirror, quiet=quiet
            )
        except Unavailable as error:
            missing.append(str(error))
            continue
        except WrongFile as error:
            way_out = f" Should the new file be right, remove {name} from {lock}." if locked else ""
            raise WrongFile(f"{error}{way_out}") from None
        if one.sha256 is None and placed:
            log.warning("%s was placed by hand: only its gate can tell whether it is right.", path)
        elif one.sha256 is None:
            size = path.stat().st_size
            weights_lock.record(lock, name, Entry(path.name, size, sha256, one.address))
        return path
    raise Unavailable(" ".join(missing))


def wanted(name: str, lock: Path, locked: Entry | None) -> list[Weights]:
    """A model's published files, in order; where the lock holds one, that one with its hash.

    Raises BadInput where there are none, and where the lock names an address that the card lacks.
    """
    weights = models.card(name).weights
    if not weights:
        raise BadInput(f"{name}: nobody has published its weights. Train it.")
    if locked is None:
        return list(weights)
    held = [one for one in weights if one.address == locked.address]
    if not held:
        raise BadInput(
            f"{lock}: {locked.address} is no address of {name}'s weights any more. Remove the "
            "entry to take one of those that its card names."
        )
    return [replace(one, sha256=one.sha256 or locked.sha256) for one in held]


def convert(name: str, source: Path, target: Path) -> None:
    """Write the published file as safetensors, and NPID's memory bank beside it as .memory.npy.

    Raises BadInput as `naflow.models.convert` does.
    """
    models.convert(name, source, target)
    if not name.endswith("_npid"):
        return
    try:
        bank = models.memory_bank(source)
    except BadInput:  # it was good enough for the network: a conversion of others
        log.warning("%s holds no memory bank: %s has no neighbours to look up.", source, name)
        return
    with replacing(target.with_suffix(".memory.npy")) as partial:
        np.save(partial, bank.numpy())


def _path(folder: Path, name: str, weights: Weights) -> Path:
    """Where the file lies: under its published name, or under the model's if that has no ending."""
    published = Path(urlsplit(weights.address).path).name
    return folder / (published if "." in published else f"{name}.pth")


if __name__ == "__main__":
    main()
