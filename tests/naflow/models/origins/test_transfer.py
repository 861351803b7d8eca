"""A download of weights comes whole or not at all, and comes to an end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from pathlib import Path
from time import monotonic

import pytest
from faulty_server import (
    Fault,
    FaultyServer,
    Handler,
    chunked,
    dripping,
    endless,
    instead,
    nameless,
    raw,
    status,
    truncated,
)

from naflow.models.origins import transfer
from naflow.models.origins.conversation import Interrupted, Patience, Refused

CONTENT = bytes(range(256)) * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()[:8]
FAILED = (Refused, Interrupted)
IMPATIENT = Patience(silence=2.0, slowest=1e5, window=0.2, deadline=1.0)
Get = Callable[..., None]


@pytest.fixture
def server() -> Generator[FaultyServer]:
    with FaultyServer({"/w.pth": CONTENT}) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "w.pth"


@pytest.fixture
def get(server: FaultyServer, path: Path) -> Get:
    def get(sha: str = SHA, most: int = len(CONTENT)) -> None:
        transfer.download(f"{server.base}/w.pth", path, most, sha, IMPATIENT)

    return get


@pytest.mark.parametrize("fault", [None, nameless(), chunked()])
def test_the_file_comes_whole(server: FaultyServer, path: Path, get: Get, fault: Fault) -> None:
    server.faults = [fault]
    get()
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_redirects_are_followed(server: FaultyServer, path: Path, get: Get) -> None:
    server.faults = [status(302, Location="/w.pth")]
    get()
    assert path.read_bytes() == CONTENT


def test_what_comes_with_a_redirect_is_not_read(server: FaultyServer, path: Path, get: Get) -> None:
    sent = 0

    def fault(handler: Handler) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /w.pth\r\n\r\n")
        for _ in range(1000):
            handler.wfile.write(bytes(1 << 16))
            sent += 1 << 16

    server.faults = [fault]
    get()
    assert path.read_bytes() == CONTENT
    assert sent < 16 << 20  # what sockets hold; the rest was refused


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(404), "it answered 404 Not Found"),
        (status(302, Location=f"http://127.0.0.1:{'9' * 400}/w"), "cannot be requested"),
        (raw(b"HTTP/1.1 404 " + b"x" * 60000 + b"\r\n\r\n"), "^it answered 404 x{300}$"),
        (status(302, Location="file:///etc/passwd"), "file:///etc/passwd, which is no web"),
        (
            status(302, Location="ftp://127.0.0.1:9/w"),
            "ftp://127.0.0.1:9/w, which is no web",
        ),
        (instead(b"<html>an error"), "another file came: its sha256 does not begin with"),
        (nameless(1000), "another file came"),
        (truncated(1000), "another file came|broke off"),
        (chunked(breaks=b"zz\r\n"), "broke off"),
        (raw(b"nonsense\r\n\r\n"), "the connection failed"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"x" * 70000), "connection failed|cannot be requested"),
        (endless(), "sends more than the 512,000 bytes"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"x"), "slower than 100,000 bytes a second"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), "slower than 100,000 bytes a second"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", bytes(4000), 0.01), "not done after 1 seconds"),
    ],
)
def test_a_fault_is_one_reason_and_leaves_nothing(
    server: FaultyServer, path: Path, get: Get, fault: Fault, said: str
) -> None:
    server.faults = [fault]
    began = monotonic()
    with pytest.raises(FAILED, match=said) as found:
        get()
    assert str(found.value).isprintable()
    assert monotonic() - began < 5
    assert list(path.parent.iterdir()) == []


def test_the_file_that_was_there_stays(server: FaultyServer, path: Path, get: Get) -> None:
    path.parent.mkdir()
    path.write_bytes(b"old")
    server.faults = [truncated(1000)]
    with pytest.raises(FAILED):
        get()
    assert path.read_bytes() == b"old"


def test_a_redirect_without_end(server: FaultyServer, get: Get) -> None:
    server.faults = [status(302, Location="/w.pth")] * 20
    with pytest.raises(FAILED, match="redirects more than 10 times"):
        get()


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/w.pth", "http://[", "no address", "", "file:///dev/zero", "data:,x"],
)
def test_what_cannot_be_asked(path: Path, address: str) -> None:
    with pytest.raises(FAILED, match=r"connection failed|cannot be requested"):
        transfer.download(address, path, 10, "", IMPATIENT)
    assert not path.exists()
