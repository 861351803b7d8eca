"""What is fetched to build and to check: every piece by its content."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Package -> version, and how many hashes may answer for it."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    found = {}
    for entry in entries:
        package, _, version = entry.split()[0].partition("==")
        found[package] = (version, len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)))
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
    assert used
    for one in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", one), one


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_can_sign_or_publish_installs_by_hash_alone(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    trusted = [job for job in jobs if "write" in job.get("permissions", {}).values()]
    assert bool(trusted) == (path.stem == "release")
    for job in trusted:
        for command in (step["run"] for step in job["steps"] if "run" in step):
            fetches = re.search(r"\b(pip|pipx|uvx|npx|npm|curl|wget|apt-get|make)\b", command)
            assert not fetches or "--require-hashes" in command, command


def test_the_locks_are_audited_every_week() -> None:
    audit = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text())
    assert audit[True]["schedule"]  # YAML reads the key `on` as true
    commands = " ".join(step.get("run", "") for step in audit["jobs"]["audit"]["steps"])
    for lock in ("bootstrap.lock", "requirements.lock"):
        assert f"-r {lock}" in commands
    assert "--strict" in commands  # a package that cannot be looked up is no pass


def test_every_package_has_a_version_and_hashes() -> None:
    assert list(locked("bootstrap.lock")) == ["uv"]
    for name in ("bootstrap.lock", "requirements.lock"):
        for package, (version, hashes) in locked(name).items():
            assert version and hashes, f"{name}: {package}"


def test_nothing_is_installed_without_hashes_but_this_project() -> None:
    installs = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if " install " in line
    ]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or line.endswith("--no-deps -e ."), line


def test_the_lock_satisfies_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *chain.from_iterable(extras)]
    versions = {name: version for name, (version, _) in locked("requirements.lock").items()}
    wanted = [one for one in map(Requirement, asked) if one.name != project["name"]]
    for one in wanted:
        assert one.specifier.contains(versions[one.name]), one
    assert any(one.name == "hydra-core" for one in wanted)
