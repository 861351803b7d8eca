"""A local server with one file, and a call that downloads it."""

from pathlib import Path

import pytest
from faulty_server import FaultyServer
from small_download import CONTENT

from naflow.models.origins.conversation import Patience
from pipeline.downloads.download import Expected, download


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with FaultyServer({"/w.pth": CONTENT}) as server:
        yield server


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "weights" / "w.pth"


@pytest.fixture
def get(server, target):
    """Download w.pth; get.waits are the seconds that it would have slept, get.got the answer."""

    def call(*addresses: str, **settings: object) -> str:
        addresses = addresses or (f"{server.base}/w.pth",)
        known = {name: settings.pop(name) for name in list(settings) if hasattr(Expected, name)}
        mirror, waits = settings.pop("mirror", None), {"silence": 5, "sleep": call.waits.append}
        call.got = download(
            addresses,
            target,
            Expected(**known),
            mirror=mirror,
            quiet=True,
            patience=Patience(**waits | settings),
        )
        return call.got.sha256

    call.waits = []
    return call
