"""Read a file of addresses that replace those on the model cards and on CUB's page.

For a lab's own copies or weights, and for a rehearsal: fetch.published, or the environment variable
NAFLOW_PUBLISHED, names a JSON file: name of a network or archive -> its files, tried in this order.
Names that are not in it keep their published addresses.

    {"resnet18": [{"address": "https://our.lab/resnet18-f37072fd.pth", "size": 46830571,
                   "sha256": "f37072fd..."}]}

Only the address is required; without size and hash, only the gate checks the file. Of several files
with the same name (copies), the first one that can be downloaded is kept. These files are never
recorded in the lock file, which lists published addresses only.
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
_LONGEST = 200  # bytes of a file's name, to which suffixes such as .partial are added


def read(path: str | None) -> Elsewhere:
    """Return the files by name; none if `path` is None. Raises BadInput for any other content."""
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
        '"https://..."}]}, with size and sha256 if you know them; or leave it out.'
    )


def _known(name: str) -> str:
    """Return the name of a network or, with a suffix, an archive. Raises ValueError for another."""
    if "." not in name and name not in (networks := list_models()):
        raise ValueError(f"there is no network {name!r}.{near_names(name, networks)}")
    return name


def _files(told: list[dict]) -> tuple[Weights, ...]:
    """Return the files. Raises ValueError, TypeError or AttributeError for no list of files."""
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
    """Raise ValueError for an address that is not http(s), or whose file name cannot be used."""
    web = urlsplit(address)
    name = Path(web.path).name
    kept = address.isprintable() and name != ".." and len(name.encode()) <= _LONGEST
    if web.scheme not in ("http", "https") or not web.netloc or not kept:
        raise ValueError(f"{address[:_LONGEST]!r} is no address of a file on the web")
