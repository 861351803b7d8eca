"""uv, which `make setup` brings, for tests that build something with packages from the registry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_UV = Path(sys.executable).with_name("uv")
_OFFLINE = ("dns error", "Could not connect", "Connection refused")


def uv(*words: str | Path) -> str:
    """What a command of uv prints, run in the repository. Without the program, or a registry to
    ask, the test skips and says so."""
    if not _UV.exists():
        pytest.skip("uv is not here: `make setup` installs it")
    environment = {k: v for k, v in os.environ.items() if k != "PIP_FIND_LINKS"}
    done = subprocess.run([_UV, *words], capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode and any(word in done.stderr for word in _OFFLINE):
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
