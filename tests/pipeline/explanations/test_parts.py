"""Parts as files: what was written is read, or refused."""

import pickle
import random
import zipfile

import numpy as np
import pytest
from made_maps import made

from naflow.errors import BadInput
from pipeline.explanations import parts
from pipeline.explanations.cases import Case

CASES = [Case("disc_2"), Case("disc_3"), Case("cross_2")]


@pytest.fixture
def part(tmp_path):
    """The file of a part of three cases."""
    folder = tmp_path / "resnet18" / "naflow"
    made(folder, {}, CASES)
    return parts.path(folder, 0)


def test_what_was_written_is_read(part):
    found = parts.read(part)
    assert found["fingerprint"] == "made 0"
    assert found["pictures"].tolist() == ["disc_2", "disc_3", "cross_2"]
    assert parts.layers_of(list(found)) == ["conv", "block.0", "block.1"]
    assert found["stop/block.0"].tolist() == ["least_squares"] * 3
    parts.write(parts.path(part.parent, 1), "other", {"score": found["score"]})
    assert parts.paths(part.parent) == {part, parts.path(part.parent, 1)}
    assert list(parts.read(parts.path(part.parent, 1))) == ["fingerprint", "score"]


def test_a_changed_bit_is_refused_or_changes_nothing(part):
    chance, refusals = random.Random(0), 0
    content, expected = part.read_bytes(), parts.read(part)
    for _ in range(200):
        at, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        part.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        try:
            found = parts.read(part)
        except BadInput:
            refusals += 1
            continue
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in found), (at, bit)
    assert refusals > 50


@pytest.mark.parametrize("left", [None, 0, 10, 5000])
def test_a_part_that_is_cut_or_not_there_is_refused(part, left):
    content = part.read_bytes()
    part.unlink()
    if left is not None:
        assert len(content) > left
        part.write_bytes(content[:left])
    with pytest.raises(BadInput, match=r"part-000.npz is missing or damaged .*explain again"):
        parts.read(part)


def test_a_part_that_unpacks_to_more_than_its_file_is_not_unpacked(part):
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as forged:
        forged.writestr("score.npy", bytes(1 << 20))
    with pytest.raises(BadInput, match=r"its arrays take more than [\d,]+ bytes"):
        parts.read(part)


def test_what_is_no_array_is_refused_without_advice_to_load_it_all_the_same(part, tmp_path):
    for content in (b"", pickle.dumps([1]), part.read_bytes()):  # nothing, a pickle, a part
        with zipfile.ZipFile(tmp_path / "forged.npz", "w") as forged:
            forged.writestr("score.npy", content)
        with pytest.raises(BadInput, match="no array of numbers or text") as refused:
            parts.read(tmp_path / "forged.npz")
        assert "allow_pickle" not in str(refused.value)
