"""What has arrived is gone on with, where it is of the same version, and else begun anew."""

import hashlib
from pathlib import Path

import pytest
from faulty_server import dated, truncated, whole
from small_download import CONTENT, OTHER, SHA256, complete, leftovers, ranges

from naflow.models.origins.conversation import CHUNK
from pipeline.downloads.download import WrongFile


def test_server_that_ignores_ranges_makes_it_start_over(server, target, get):
    server.faults = [truncated(16 * CHUNK), whole]
    assert get() == SHA256
    assert complete(target)
    assert ranges(server) == [None, f"bytes={16 * CHUNK}-"]


def test_file_that_changed_on_the_server_is_not_mixed(server, target, get):
    def changed(handler):
        server.files["/w.pth"], server.etag = OTHER, '"two"'
        handler.answer(503)

    server.faults = [truncated(16 * CHUNK), changed]
    assert get() == hashlib.sha256(OTHER).hexdigest()
    assert target.read_bytes() == OTHER
    assert server.requests[-1][1]["If-Range"] == '"one"'


@pytest.mark.parametrize(
    "told",
    ["bytes 5-699999/700000", "bytes */700000", "nonsense", f"bytes {18 * CHUNK}-699999/700000"],
)
def test_range_that_was_not_asked_for_is_not_appended(server, target, get, told):
    etag = '"two"' if f" {18 * CHUNK}-" in told else '"one"'  # of another version
    server.faults = [
        truncated(18 * CHUNK),
        lambda handler: handler.answer(206, CONTENT[: -18 * CHUNK], Content_Range=told, ETag=etag),
    ]
    assert get() == SHA256
    assert complete(target)
    assert ranges(server) == [None, f"bytes={18 * CHUNK}-", None]


def partial(target: Path, content: bytes, note: str) -> None:
    target.parent.mkdir()
    (target.parent / "w.pth.partial").write_bytes(content)
    (target.parent / "w.pth.partial.note").write_text(note)


def test_partial_that_is_whole_already(server, target, get):
    partial(target, CONTENT, f'{server.base}/w.pth\n"one"')
    assert get(sha256=SHA256) == SHA256
    assert complete(target)
    assert ranges(server) == ["bytes=700000-"]


def test_partial_that_is_longer_than_the_file(server, target, get):
    partial(target, CONTENT + b"more", f'{server.base}/w.pth\n"one"')
    assert get() == SHA256
    assert complete(target)


@pytest.mark.parametrize("note", ["", 'http://elsewhere/w.pth\n"one"', "{base}/w.pth", "\0"])
def test_partial_of_unknown_origin_is_not_gone_on_with(server, target, get, note):
    partial(target, OTHER[:500_000], note.format(base=server.base))
    assert get() == SHA256
    assert complete(target)
    assert ranges(server) == [None]


def test_damaged_partial_is_found_out_and_removed(server, target, get):
    partial(target, OTHER[:500_000], f'{server.base}/w.pth\n"one"')
    with pytest.raises(WrongFile):
        get(sha256=SHA256)
    assert leftovers(target) == []
    assert get(sha256=SHA256) == SHA256


def test_without_an_etag_two_versions_are_not_mixed(server, target, get):
    """Both of one second, and the server goes on from any byte."""

    def broken(handler):
        told = {"Content_Length": "700000", "Last_Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
        handler.answer(200, CONTENT[:300_000], **told)
        server.files["/w.pth"] = OTHER

    server.faults = [broken, dated]
    assert get() == hashlib.sha256(OTHER).hexdigest()
    assert ranges(server) == [None, None]


def test_without_an_etag_a_file_whose_hash_is_known_is_gone_on_with(server, target, get):
    told = {"Content_Length": "700000", "Last_Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
    server.faults = [lambda handler: handler.answer(200, CONTENT[:300_000], **told), dated]
    assert get(sha256=SHA256) == SHA256
    assert ranges(server) == [None, "bytes=300000-"]


def test_a_part_that_does_not_name_its_version_is_not_appended(server, target, get):
    def nameless_part(handler):
        server.files["/w.pth"] = OTHER
        told = {"Content_Range": "bytes 300000-699999/700000"}
        handler.answer(206, OTHER[300_000:], **told)

    server.faults = [truncated(300_000), nameless_part]
    assert get() == hashlib.sha256(OTHER).hexdigest()
    assert ranges(server) == [None, "bytes=300000-", None]
