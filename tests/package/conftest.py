"""A fresh environment with the built wheel and its base dependencies, and nothing else."""

from __future__ import annotations

import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uv_command import ROOT, uv


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as a release is."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--no-config", "--out-dir", folder, ROOT)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def names(wheel: Path) -> list[str]:
    """The paths of the files in the wheel."""
    with zipfile.ZipFile(wheel) as file:
        return file.namelist()


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the environment. What the wheel requires is linked from this one: torch is
    large."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    packages = next((folder / "lib").glob("python*/site-packages"))
    uv("pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel)
    (own,) = packages.glob("naflow-*.dist-info")
    for required in needed(Distribution.at(own)):
        for part in {file.parts[0] for file in required.files or () if file.parts[0] != ".."}:
            if not (packages / part).exists():
                (packages / part).symlink_to(required.locate_file(part))
    return python


def needed(package: Distribution) -> list[Distribution]:
    """What a package requires without extras, and what that requires."""
    found: dict[str, Distribution] = {}
    waiting = [(package, "")]
    while waiting:
        asking, extra = waiting.pop()
        for line in asking.requires or ():
            asked = Requirement(line)
            if asked.marker is not None and not asked.marker.evaluate({"extra": extra}):
                continue
            fresh = asked.name not in found
            if fresh:
                found[asked.name] = distribution(asked.name)
            waiting += [(found[asked.name], "")] * fresh
            waiting += [(found[asked.name], extra) for extra in asked.extras]
    return list(found.values())
