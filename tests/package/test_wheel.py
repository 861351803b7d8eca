"""The wheel that people install: what is in it, what it asks for, and that it works alone."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

#: The modules that need an extra: the paper's networks are built of torchvision's parts, downloads
#: of requests.
NEED = dict.fromkeys(
    (f"naflow.models.{name}" for name in ("bam", "cbam", "multi_similarity", "npid", "resnet")),
    "torchvision",
) | dict.fromkeys(
    (f"naflow.models.origins.{name}" for name in ("conversation", "transfer")), "requests"
)

IMPORT_ALL = """
import importlib, pkgutil, naflow
for found in pkgutil.walk_packages(naflow.__path__, "naflow."):
    if found.name == "naflow.__main__":
        continue
    try:
        importlib.import_module(found.name)
        print(found.name, "-")
    except ModuleNotFoundError as error:
        print(found.name, error.name)
"""

#: torchvision is an extra's: a small network stands in its place, with its names.
TORCHVISION = """
import collections, types
from torch import nn

class Block(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())

def resnet18(weights):
    layers = {"conv1": nn.Conv2d(3, 4, 7, 32, 3)}
    layers |= {f"layer{i}": nn.Sequential(Block(), Block()) for i in (1, 2, 3, 4)}
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(4, 10)}
    return nn.Sequential(collections.OrderedDict(layers))

models = types.SimpleNamespace(resnet18=resnet18)
"""


def run(python: Path, code: str, folder: Path) -> str:
    """What a program prints in the fresh environment, outside the repository."""
    words = [python, "-W", "error", "-W", "ignore::FutureWarning:torch", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env={})
    assert done.returncode == 0, done.stderr
    return done.stdout


def metadata(wheel: Path, names: list[str]) -> Message:
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as file:
        return Parser().parsestr(file.read(name).decode())


def test_holds_the_library_alone(names: list[str]) -> None:
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"naflow"}
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("naflow/**/*.py")}
    held = {name for name in names if name.startswith("naflow/")}
    page = {f"naflow/page/{file.name}" for file in (ROOT / "naflow" / "page").glob("*.[!p]*")}
    assert held == sources | page | {"naflow/py.typed"} and "naflow/page/page.html" in page


def test_holds_its_licence(wheel: Path, names: list[str]) -> None:
    (name,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
    with zipfile.ZipFile(wheel) as file:
        assert file.read(name) == (ROOT / "LICENSE").read_bytes()
    assert metadata(wheel, names)["License-Expression"] == "MIT"


def test_says_what_it_needs(wheel: Path, names: list[str]) -> None:
    about = metadata(wheel, names)
    asked = [Requirement(line) for line in about.get_all("Requires-Dist")]
    assert {r.name for r in asked if r.marker is None} == {"torch", "numpy"}
    assert {"cli", "plot", "library", "timm", "hf", "demo"} <= set(about.get_all("Provides-Extra"))
    classifiers = about.get_all("Classifier")
    pythons = [c.rsplit(" ", 1)[1] for c in classifiers if re.search(r":: 3\.\d+$", c)]
    assert pythons == list(PYTHONS)
    assert all(version in SpecifierSet(about["Requires-Python"]) for version in PYTHONS)
    assert "3.10" not in SpecifierSet(about["Requires-Python"])


def test_version_is_everywhere_the_same(
    wheel: Path, names: list[str], python: Path, tmp_path: Path
) -> None:
    version = metadata(wheel, names)["Version"]
    assert run(python, "import naflow; print(naflow.__version__)", tmp_path).strip() == version
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.M)[1]
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    assert hatch["version"]["fallback-version"] == f"{cited}.dev0"
    assert Version(Version(version).base_version) >= Version(cited)


def test_every_module_imports_without_extras(python: Path, tmp_path: Path) -> None:
    lines = run(python, IMPORT_ALL, tmp_path).split("\n")
    lacking = dict(line.split() for line in lines if line and not line.endswith(" -"))
    assert lacking == NEED
    assert len(lines) > 60


def test_ten_lines_of_the_readme(python: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (ten,) = (block for block in blocks if "NAFlow(model)" in block)
    (tmp_path / "torchvision.py").write_text(TORCHVISION)
    printed = run(python, f"{ten}\nprint(flow.stack((224, 224)).isfinite().all())", tmp_path)
    assert "layer4.1" in printed
    assert printed.endswith("tensor(True)\n")


@pytest.mark.parametrize(
    ("words", "extra"), [(["plan", "--model", "torchvision:resnet18"], "cli"), (["demo"], "demo")]
)
def test_the_command_says_what_it_lacks(
    words: list[str], extra: str, python: Path, tmp_path: Path
) -> None:
    command = [python.with_name("naflow"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"pip install 'naflow[{extra}]'" in done.stderr
