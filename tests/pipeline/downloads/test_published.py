"""The file that says where things are published instead: read as told, or refused."""

import json

import pytest

from naflow.errors import BadInput
from naflow.models import Weights
from pipeline.downloads.published import read


def test_nothing_is_elsewhere_without_a_file():
    assert read(None) == {}


def test_files_are_told_in_order(tmp_path):
    files = [
        {"address": "https://a.org/r.pth", "size": 3, "sha256": "ab"},
        {"address": "https://b.org/r.pth", "about": 5, "note": "a copy"},
    ]
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({"resnet18": files}))
    assert read(str(path)) == {
        "resnet18": (
            Weights("https://a.org/r.pth", 3, "ab"),
            Weights("https://b.org/r.pth", about=5, note="a copy"),
        )
    }


WRONG = {
    "no JSON": "{",
    "a list": "[]",
    "a name without a file": '{"resnet18": []}',
    "a file that is a word": '{"resnet18": ["https://a.org"]}',
    "no list": '{"resnet18": 3}',
    "no address": '{"resnet18": [{"size": 3}]}',
    "an unknown word": '{"resnet18": [{"address": "a", "url": "b"}]}',
    "a size in words": '{"resnet18": [{"address": "a", "size": "3"}]}',
    "a size that is true": '{"resnet18": [{"address": "a", "size": true}]}',
    "a place in a package": '{"resnet18": [{"address": "a", "installed": {}}]}',
    "no network": '{"resnet81": [{"address": "https://a.org/r.pth"}]}',
    "a file of this machine": '{"resnet18": [{"address": "/etc/passwd"}]}',
    "no web address": '{"resnet18": [{"address": "file:///etc/passwd"}]}',
    "an address without a host": '{"resnet18": [{"address": "https:///r.pth"}]}',
    "half an address": '{"resnet18": [{"address": "http://[::1/r.pth"}]}',
    "a folder above": '{"resnet18": [{"address": "https://a.org/.."}]}',
    "a zero in a name": '{"resnet18": [{"address": "https://a.org/r\\u0000.pth"}]}',
    "half a letter": '{"resnet18": [{"address": "https://a.org/\\ud800.pth"}]}',
    "a name too long": '{"resnet18": [{"address": "https://a.org/%s.pth"}]}' % ("r" * 300),
    "deep": "[" * 100_000,
    "no text": "\udcff",
}


def test_an_archive_may_be_named(tmp_path):
    path = tmp_path / "ours.json"
    path.write_text('{"segmentations.tgz": [{"address": "http://a.org/s.tgz?download=1"}]}')
    assert list(read(str(path))) == ["segmentations.tgz"]


@pytest.mark.parametrize("told", WRONG)
def test_anything_else_is_refused_with_the_form(tmp_path, told):
    path = tmp_path / "ours.json"
    path.write_bytes(WRONG[told].encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=r"ours\.json: it is no list.*resnet18.*leave it out"):
        read(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match="there is no such file"):
        read(str(tmp_path / "ours.json"))
