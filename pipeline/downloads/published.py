"""What is published elsewhere than the model cards and CUB's page say, as a file tells it.

For a lab's own copies or own weights, and for a rehearsal: fetch.published, or the environment
variable NAFLOW_PUBLISHED, names a JSON file of a network's name, or an archive's, -> its files, the
first one tried first. What it does not name stays where it is.

    {"resnet18": [{"address": "https://our.lab/resnet18-f37072fd.pth", "size": 46830571,
                   "sha256": "f37072fd..."}]}

Only the address must be told; without a size and a hash the gate alone decides. Of several files
that are kept under one name, as copies of one are, the first that comes is kept. What comes from
there is never recorded in the lock file, which is of the published addresses.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from naflow.errors import BadInput, near_names
from naflow.models import Weights, list_models

Elsewhere = Mapping[str, tuple[Weights, ...]]
NOWHERE: Elsewhere = {}
_KINDS = {"address": str, "size": int, "sha256": str, "about": int, "note": str}
_LONGEST = 200  # bytes of a file's name, to which .partial and its kin are added


def read(path: str | None) -> Elsewhere:
    """The files by name; none where there is no `path`. Raises BadInput for any other content."""
    if path is None:
        return NOWHERE
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return {_known(name): _files(told) for name, told in content.items()}
    except FileNotFoundError:
        told = "there is no such file"
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        told = f"it is no list of published files ({error})"
    raise BadInput(
        f'fetch.published={path}: {told}. It has to be JSON, {{"resnet18": [{{"address": '
        '"https://..."}]}, with size and sha256 where they are known; or leave it out.'
    )


def _known(name: str) -> str:
    """The name, of a network or, with a suffix, of an archive. Raises ValueError for any other."""
    if "." not in name and name not in (networks := list_models()):
        raise ValueError(f"there is no network {name!r}.{near_names(name, networks)}")
    return name


def _files(told: list[dict]) -> tuple[Weights, ...]:
    """Raises ValueError, TypeError or AttributeError where it is no list of files."""
    for key, value in (item for one in told for item in one.items()):
        if type(value) is not _KINDS.get(key):
            raise ValueError(f"{key}: {value!r}")
    if not told:
        raise ValueError("a name without a file")
    files = tuple(Weights(**one) for one in told)
    for one in files:
        _check(one.address)
    return files


def _check(address: str) -> None:
    """Raise ValueError where an address is not one of the web, or its file could not be kept."""
    web = urlsplit(address)
    name = Path(web.path).name
    kept = address.isprintable() and name != ".." and len(name.encode()) <= _LONGEST
    if web.scheme not in ("http", "https") or not web.netloc or not kept:
        raise ValueError(f"{address[:_LONGEST]!r} is no address of a file on the web")
