"""The real download code against a local server that misbehaves."""

import hashlib
import multiprocessing
import os
import signal
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from faulty_server import (
    chunked,
    held,
    instead,
    nameless,
    page,
    status,
    truncated,
)
from small_download import CONTENT, OTHER, SHA256, complete, leftovers, ranges

from naflow.errors import BadInput
from naflow.models.origins.conversation import CHUNK
from pipeline.downloads.download import Unavailable, WrongFile, direct, download

PROCESSES = multiprocessing.get_context("fork")  # spares the import of torch


def wait_for(condition) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come about in 10 s")


# --- success, at once or in the end ---------------------------------------------------------------


def test_whole_and_only_once(server, target, get):
    assert get(size=len(CONTENT), sha256=SHA256) == SHA256
    assert complete(target)
    assert get(size=len(CONTENT), sha256=SHA256.upper()) == SHA256
    assert len(server.requests) == 1 and get.waits == []


def test_without_length_or_version(server, target, get):
    server.faults = [nameless()]
    assert get(sha256=SHA256) == SHA256
    assert complete(target)


def test_in_chunks(server, target, get):
    server.faults = [chunked()]
    assert get() == SHA256
    assert complete(target)


def test_where_it_came_from_is_told(server, target, get, tmp_path):
    get()
    assert get.got.source == f"{server.base}/w.pth"
    get()
    assert get.got.source is None
    target.unlink()
    (tmp_path / "w.pth").write_bytes(CONTENT)
    get(mirror=str(tmp_path))
    assert get.got.source == str(tmp_path / "w.pth")


def test_broken_off_without_a_length_is_seen_by_the_size(server, target, get):
    server.faults = [nameless(1000)]
    assert get(size=len(CONTENT)) == SHA256
    assert complete(target) and get.waits == [1]


def test_broken_off_again_and_again(server, target, get):
    server.faults = [truncated(count) for count in (1, 3 * CHUNK + 5, 0, 7 * CHUNK)]
    assert get() == SHA256
    assert complete(target)
    starts = [None, 1, 3 * CHUNK + 6, 3 * CHUNK + 6, 10 * CHUNK + 6]
    assert ranges(server) == [f"bytes={start}-" if start else None for start in starts]
    assert get.waits == [1, 2, 4, 8]


@pytest.mark.parametrize("code", [408, 500, 503])
def test_busy_then_well(server, target, get, code):
    server.faults = [status(code), status(code)]
    assert get() == SHA256
    assert complete(target) and get.waits == [1, 2]


@pytest.mark.parametrize("code", [429, 503])
def test_waits_as_long_as_it_is_asked_to(server, target, get, code):
    later = formatdate(time.time() + 60, usegmt=True)
    server.faults = [status(code, Retry_After=text) for text in ("7", "86400", later, "soon")]
    assert get() == SHA256
    assert get.waits[:2] == [7, 120]
    assert 50 < get.waits[2] <= 60
    assert get.waits[3] == 8


def test_next_address(server, target, get):
    good, bad = f"{server.base}/w.pth", f"{server.base}/gone.pth"
    assert get(bad, "http://127.0.0.1:1/w.pth", good, retries=1) == SHA256
    assert complete(target)
    assert get.waits == [1]  # for the closed port; what is gone is not asked for again


def test_mirrors_come_first(server, target, get, tmp_path):
    assert get("http://127.0.0.1:1/w.pth", mirror=f"{server.base}/") == SHA256
    target.unlink()
    (tmp_path / "w.pth").write_bytes(CONTENT)
    assert get("http://127.0.0.1:1/w.pth", mirror=str(tmp_path)) == SHA256
    assert complete(target) and len(server.requests) == 1 and get.waits == []
    target.unlink()
    (tmp_path / "w.pth").write_bytes(OTHER)
    assert get(mirror=str(tmp_path), sha256=SHA256) == SHA256
    assert complete(target) and len(server.requests) == 2
    target.unlink()
    (tmp_path / "w.pth").unlink()
    assert get(mirror=str(tmp_path)) == SHA256


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (status(404), Unavailable, "answered 404"),
        (status(403), Unavailable, "answered 403"),
        (status(416), Unavailable, "answered 416"),
        (page, Unavailable, "web page"),
        (instead(b"\n <html>Confirm"), WrongFile, "web page"),
        (instead(CONTENT[:-1]), Unavailable, "699,999 bytes, 700,000 are expected"),
        (instead(OTHER), WrongFile, f"{hashlib.sha256(OTHER).hexdigest()}, {SHA256} is expected"),
        (status(302, Location="ftp://127.0.0.1/w.pth"), Unavailable, "no web address"),
        (status(302, Location="/w.pth"), None, ""),
    ],
)
def test_refusals_are_told_at_once(server, target, get, fault, kind, told):
    server.faults = [fault]
    if kind is None:
        assert get(size=len(CONTENT), sha256=SHA256) == SHA256
        return
    with pytest.raises(kind) as raised:
        get(size=len(CONTENT) if "bytes" in told else None, sha256=SHA256)
    assert told in str(raised.value) and f"place the file by hand at {target}" in str(raised.value)
    assert not target.exists() and get.waits == [] and len(server.requests) == 1


def test_more_than_expected_is_cut_off(server, target, get):
    server.faults = [nameless()]
    with pytest.raises(Unavailable, match="more than the 300,000 bytes"):
        get(size=300_000)
    assert not target.exists()
    assert get(size=len(CONTENT)) == SHA256


def test_page_instead_of_the_rest_keeps_what_has_come(server, target, get):
    server.faults = [truncated(16 * CHUNK), page]
    with pytest.raises(Unavailable, match="web page"):
        get()
    assert get() == SHA256
    assert ranges(server) == [None, f"bytes={16 * CHUNK}-", f"bytes={16 * CHUNK}-"]


def test_gives_up_after_the_last_retry_and_goes_on_later(server, target, get):
    server.faults = [truncated(3 * CHUNK)] + [truncated(0)] * 2
    with pytest.raises(Unavailable, match="3 times"):
        get(retries=2)
    assert not target.exists() and get.waits == [1, 2]
    assert get() == SHA256
    assert ranges(server)[-1] == f"bytes={3 * CHUNK}-"


def test_silence_ends_an_attempt(server, target, get):
    server.faults = [held(300_000)]
    assert get(silence=0.3) == SHA256
    assert complete(target) and get.waits == [1]


def test_file_there_that_is_another_one_stays(target, get):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    with pytest.raises(WrongFile, match="Remove it"):
        get(sha256=SHA256)
    assert target.read_bytes() == OTHER
    assert get() == hashlib.sha256(OTHER).hexdigest()


# --- contents -------------------------------------------------------------------------------------


def test_what_is_wrong_with_its_content_is_found_before_it_gets_its_name(server, target, get):
    seen = []

    def content(path):
        seen.append(path.read_bytes() == CONTENT)
        return "" if seen[-1] else "it holds no weights"

    server.files["/bad.pth"] = b'{"error": "quota"}'
    bad, good = f"{server.base}/bad.pth", f"{server.base}/w.pth"
    with pytest.raises(WrongFile, match=r"bad\.pth: it holds no weights.*place the file by hand"):
        get(bad, content=content)
    assert leftovers(target) == []
    assert get(bad, good, content=content) == SHA256
    assert seen == [False, False, True] and get.got.source == good
    target.write_bytes(OTHER)
    with pytest.raises(WrongFile, match=r"w\.pth: it holds no weights\. Remove it"):
        get(content=content)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_stands_in_the_way(target, get, make):
    target.parent.mkdir()
    make(target)
    with pytest.raises(WrongFile, match="is no file"):
        get()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk(server, target, get):
    target.parent.mkdir()
    full = target.parent / "w.pth.partial"
    full.symlink_to("/dev/full")
    with pytest.raises(BadInput, match=r"No space left on device.*continues") as raised:
        get()
    assert type(raised.value) is BadInput and get.waits == []
    assert not target.exists()
    full.unlink()
    assert get() == SHA256


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        download(["http://127.0.0.1:1/w.pth"], tmp_path / "file" / "w.pth")


# --- processes ------------------------------------------------------------------------------------


def child(address: str, target: Path) -> multiprocessing.Process:
    process = PROCESSES.Process(target=download, args=([address], target), kwargs={"quiet": True})
    process.start()
    return process


def test_killed_in_the_middle_then_gone_on_with(server, target, get):
    server.faults = [held(600_000)]
    process = child(f"{server.base}/w.pth", target)
    arrived = target.parent / "w.pth.partial"
    wait_for(lambda: arrived.exists() and arrived.stat().st_size)
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert process.exitcode == -signal.SIGKILL
    assert not target.exists()
    have = arrived.stat().st_size
    assert 0 < have < len(CONTENT)
    assert get(sha256=SHA256) == SHA256
    assert complete(target)
    assert ranges(server) == [None, f"bytes={have}-"]


def test_two_processes_download_once(server, target):
    server.faults = [held(1000)]
    processes = [child(f"{server.base}/w.pth", target)]
    wait_for(lambda: server.requests)
    processes.append(child(f"{server.base}/w.pth", target))
    time.sleep(0.3)
    assert processes[1].is_alive() and not target.exists()
    server.go.set()
    for process in processes:
        process.join(10)
        assert process.exitcode == 0
    assert complete(target) and len(server.requests) == 1


def test_address_of_google_drive():
    wanted = "https://drive.usercontent.google.com/download?id=1m-_A&export=download&confirm=t"
    assert direct("https://drive.google.com/file/d/1m-_A") == wanted
    assert direct("https://drive.google.com/file/d/1m-_A/view?usp=sharing") == wanted
    assert direct("https://a.org/file/d/1m") == "https://a.org/file/d/1m"
