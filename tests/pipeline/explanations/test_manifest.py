"""A manifest that is damaged is one sentence, with the file and the entry."""

import json

import pytest
from made_maps import made

from naflow.errors import BadInput
from pipeline.explanations import maps
from pipeline.explanations.cases import Case
from pipeline.explanations.manifest import read_manifest, sealed

MISSING = object()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "resnet18" / "naflow"
    made(folder, {}, [Case("disc_test_000"), Case("cross_test_000")])
    return folder


def changed(folder, keys, value):
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    *outer, last = keys.split(".")
    entry = content
    for key in outer:
        entry = entry[key]
    if value is MISSING:
        del entry[last]
    else:
        entry[last] = value
    path.write_text(json.dumps(sealed(content)))


def test_what_is_written_is_read(folder):
    assert read_manifest(folder) == json.loads((folder / "manifest.json").read_text())
    assert maps.load(folder).manifest["model"] == "resnet18"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"parts": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "'method' is no text"),
    ],
)
def test_what_is_no_manifest(content, said, folder):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BadInput, match=rf"manifest\.json.* {said}.*python -m pipeline\.explain"):
        maps.load(folder)


@pytest.mark.parametrize("value", [MISSING, None, {"_target_": "os.system"}, [5], 1.5, True])
@pytest.mark.parametrize(
    "keys",
    [
        "method",
        "model",
        "weights_sha256",
        "classes",
        "layers",
        "parts",
        "seed",
        "settings",
        "settings.images",
        "settings.images.name",
        "settings.model",
        "settings.model.input",
        "settings.model.input.size",
        "settings.model.input.fit",
    ],
)
def test_an_entry_that_is_missing_or_of_another_kind(keys, value, folder):
    changed(folder, keys, value)
    name = keys.rsplit(".", 1)[-1]
    with pytest.raises(BadInput, match=rf"manifest\.json: .*{name}.*|settings\.\w+' is missing"):
        maps.load(folder)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        ("parts", 0, "there are no parts"),
        ("parts", -1, "there are no parts"),
        ("layers", [], "'layers' are not those"),
        ("layers", ["conv", "block.0", "other"], "'layers' are not those"),
        ("classes", ["cross", 5], "'classes' is no list of names"),
        ("settings.model.input.size", 0, "is no side"),
        ("settings.model.input.size", 10**9, "is no side"),
        ("settings.model.input.fit", "croop", "is not one of crop"),
    ],
)
def test_an_entry_that_does_not_describe_the_maps(keys, value, said, folder):
    changed(folder, keys, value)
    with pytest.raises(BadInput, match=rf"manifest\.json: .*{said}.*Make the maps again"):
        maps.load(folder)


def test_a_predicted_class_without_a_name_is_told_where_the_name_is_wanted(folder):
    changed(folder, "classes", ["cross"])
    found = maps.load(folder)
    assert found.prediction.tolist() == [0, 1] and found.predicted(0) == "cross"
    with pytest.raises(BadInput, match=r"1 class names, and class 1 was .*model\.labels"):
        found.predicted(1)


def test_a_likeness_predicts_no_class(tmp_path):
    made(tmp_path / "small" / "naflow", {}, [Case("key_test_000", "key_test_001")])
    assert maps.load(tmp_path / "small" / "naflow").predicted(0) is None


def test_a_changed_letter_is_found(folder):
    path = folder / "manifest.json"
    text = path.read_text()
    assert "0123456789" in text
    path.write_text(text.replace("0123456789", "0123456788", 1))
    with pytest.raises(BadInput, match=r"manifest\.json: it was changed after it was written"):
        maps.load(folder)
