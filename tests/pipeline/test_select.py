"""The stage: what figures show, and what therefore has to be explained."""

import pytest

from naflow.errors import BadInput
from pipeline.explanations import cases
from pipeline.explanations.cases import Case
from pipeline.judging import decisions, selection
from pipeline.judging.decisions import Decision
from pipeline.select import select

CORRECT = "{_target_: pipeline.judging.rules.Correct, pictures: 1}"
DIFFERING = (
    "{_target_: pipeline.judging.rules.Disagreement, wrong: resnet18, right: other, pictures: 1}"
)


@pytest.fixture
def cfg(config, tmp_path):
    """Two figures of resnet18 and one of another model, and what both decided."""
    table = [
        Decision(f"{label}_test_00{n}", f"{label}_test_00{n}", label, predicted, 0.5, reference)
        for n, label, predicted, reference in (
            (0, "disc", "disc", "disc_test_002"),
            (1, "disc", "cross", "cross_test_000"),
            (0, "cross", "cross", "cross_test_001"),
            (2, "cross", "cross", ""),  # alone of its class: it cannot be shown
        )
    ]
    decisions.write(tmp_path / "results/decisions/resnet18.csv", table)
    right = [Decision(one.trial, one.picture, one.label, one.label, 0.5) for one in table]
    decisions.write(tmp_path / "results/decisions/other.csv", right)
    figures = {
        "a": f"{{model: resnet18, select: {CORRECT}}}",
        "b": f"{{model: resnet18, select: {DIFFERING}}}",
        "c": f"{{model: other, select: {CORRECT}}}",
    }
    text = ", ".join(f"{name}: {body}" for name, body in figures.items())
    return lambda *more: config(f"+wanted={{{text}}}", *more)


def selected(cfg):
    cfg.figures = cfg.wanted
    return select(cfg)


def test_every_figure_of_the_model_and_the_cases_of_all(cfg):
    folder = selected(cfg("explain.pictures=4"))
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "b.json", "cases.json"]
    first = Case("disc_test_000", "disc_test_002")
    assert selection.read(folder / "a.json").chosen[0].case == first
    found = selection.read(folder / "b.json")
    assert (found.figure, found.model, found.met) == ("b", "resnet18", True)
    pair = Case("disc_test_001", "cross_test_000")
    assert found.chosen[0].case == pair
    # the figures' own, a likeness from both sides, then the first ones of all
    assert cases.read(folder / "cases.json") == [
        *(first, first.turned, pair, pair.turned),
        Case("cross_test_000", "cross_test_001"),
        Case("cross_test_001", "cross_test_000"),
    ]


def test_a_class_is_explained_from_one_side(cfg):
    wanted = cfg("explain.pictures=2")
    wanted.model.name = "other"
    assert cases.read(selected(wanted) / "cases.json") == [
        Case("disc_test_000"),
        Case("cross_test_000"),
    ]


def test_networks_that_a_figure_does_not_name_need_not_be_there(cfg, tmp_path):
    (tmp_path / "results/decisions/other.csv").unlink()
    some = cfg()
    del some.wanted.b
    assert [path.name for path in sorted(selected(some).iterdir())] == ["a.json", "cases.json"]
    with pytest.raises(BadInput, match=r"other\.csv: there is no such file.*pipeline\.verify"):
        selected(cfg())


def test_a_selection_comes_back_whole(cfg, tmp_path):
    found = selection.read(selected(cfg()) / "b.json")
    selection.write(tmp_path / "again.json", found)
    assert selection.read(tmp_path / "again.json") == found
    with pytest.raises(BadInput, match=r"lost.json: there is no such file.*pipeline.select"):
        selection.read(tmp_path / "lost.json")


def test_a_network_that_was_not_verified_is_told(cfg, tmp_path):
    (tmp_path / "results/decisions/other.csv").unlink()
    with pytest.raises(BadInput, match=r"other.csv: there is no such file.*pipeline.verify"):
        selected(cfg())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", "[" * 100_000, '{"chosen": [5]}', '{"chosen": []}']
)
def test_a_damaged_selection_is_one_sentence(content, tmp_path):
    path = tmp_path / "fig04.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"fig04\.json is no selection .*python -m pipeline\.select"):
        selection.read(path)


HEAD = "trial,picture,label,predicted,margin,reference,support\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"trial,picture\na,b\n", HEAD.encode() + b"a,b,c,c,x,,[]\n",
     HEAD.encode() + b"a,b,c,c,0.5,,[\n", HEAD.encode() + b"a,b,c,c,0.5,,5\n", b'a,"\n'],
)  # fmt: skip
def test_a_damaged_table_of_decisions_is_one_sentence(content, tmp_path):
    path = tmp_path / "resnet18.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"resnet18\.csv is no table of .*pipeline\.verify"):
        decisions.read(path)
