"""Lists of cases: written, read, refused; and which picture is beside which."""

from pathlib import Path

import pytest
import torch

from naflow.errors import BadInput
from pipeline.explanations import cases
from pipeline.explanations.cases import Case, in_turn, most_alike
from pipeline.pictures.images import Picture


def picture(key: str, label: str = "x") -> Picture:
    return Picture(key, Path(key), label, "test")


def test_a_list_comes_back_each_case_once(tmp_path):
    some = [Case("a"), Case("b", "c"), Case("b", "c").turned, Case("a")]
    cases.write(tmp_path / "cases.json", some)
    assert cases.read(tmp_path / "cases.json") == [Case("a"), Case("b", "c"), Case("c", "b")]
    assert Case("b", "c").pictures == ("b", "c")
    assert Case("a").pictures == ("a",)


@pytest.mark.parametrize("content", ["[{", '[{"image": "a"}]', '["a"]'])
def test_what_is_no_list_of_cases_is_refused(tmp_path, content):
    (tmp_path / "cases.json").write_text(content)
    with pytest.raises(BadInput, match=r"cases.json is no list of cases, each a 'picture'"):
        cases.read(tmp_path / "cases.json")


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match=r"explain.cases=.*no such file.*explain.cases=null"):
        cases.read(tmp_path / "cases.json")


def test_classes_in_turn():
    pictures = [picture(*pair) for pair in (("1", "a"), ("2", "a"), ("3", "b"), ("4", "a"))]
    assert [one.id for one in in_turn(pictures)] == ["1", "3", "2", "4"]
    assert [one.id for one in in_turn(pictures, ["b", "a"])] == ["3", "1", "2", "4"]


def test_the_most_alike_other_picture():
    pictures = [picture(key) for key in "abc"]
    values = torch.tensor([[1.0, 0, 0], [0.9, 0.5, 0], [0, 0.1, 1]])
    found = most_alike(pictures[:2], pictures, values[:2], values)
    assert found == [Case("a", "b"), Case("b", "a")]
    maps = values.view(3, 3, 1, 1)  # embeddings may be feature maps
    assert most_alike(pictures[:2], pictures, maps[:2], maps) == found


def test_a_picture_alone_has_nothing_to_be_likened_to():
    one = [picture("a")]
    with pytest.raises(BadInput, match="a is the only picture"):
        most_alike(one, one, torch.ones(1, 2), torch.ones(1, 2))
