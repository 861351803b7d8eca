"""Two folders of numbers: what differs is named, and only what differs too much fails."""

import json

import pytest
import yaml

from naflow.errors import BadInput
from pipeline import compare
from pipeline.compare import TOLERANCES, Kind, differences, tolerances

FIGURE = {
    "figure": "fig04",
    "caption": "Shares of 0.51.",
    "claims": [
        {"claim": "Ahead.", "holds": True, "told": "0.51 > 0.40", "numbers": {"share": 0.51}},
        {"claim": "The last.", "holds": None, "told": "No mask", "numbers": {}},
    ],
    "pictures": [{"picture": "key_001", "probability": 0.9}],
    "selection": {"counts": {"right": 590}, "met": True},
}


@pytest.fixture
def folders(tmp_path):
    """Two folders of one figure that are the same; `change(...)` sets a value in the second."""
    for name in ("old", "new"):
        (tmp_path / name / "deep").mkdir(parents=True)
        write(tmp_path / name, FIGURE)
        (tmp_path / name / "deep" / "evaluation.json").write_text('{"ratio": 2.0}')

    def change(*keys, to):
        figure = json.loads((tmp_path / "new" / "fig04.json").read_text())
        place = figure
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to
        write(tmp_path / "new", figure)

    return tmp_path, change


def write(folder, content):
    (folder / "fig04.json").write_text(json.dumps(content))


@pytest.fixture
def run(folders, capsys):
    """Compares the two folders; returns exit code and lines."""

    def compared(*options):
        code = compare.main([str(folders[0] / "old"), str(folders[0] / "new"), *options])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return compared


def test_the_same_is_the_same(run):
    code, text = run()
    assert code == 0
    assert text.endswith("0 values differ within tolerance, 0 beyond it.\n")


def row(text, path):
    """The cells of one line of the Markdown table of values."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {path} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_number_within_its_tolerance(run, folders):
    folders[1]("claims", 0, "numbers", "share", to=0.514)
    code, text = run("--markdown")
    assert code == 0
    assert "1 values differ within tolerance, 0 beyond it." in text
    assert "numbers/share" not in text
    assert "numbers/share" in run("--all")[1]


def test_a_number_beyond_it_is_told_with_both_values_and_what_was_allowed(run, folders):
    folders[1]("claims", 0, "numbers", "share", to=0.53)
    code, text = run("--markdown")
    assert code == 1
    assert row(text, "fig04/claims/0/numbers/share") == ["0.51", "0.53", "0.02", "0.0051"]


def test_files_in_folders_are_compared_too(run, folders):
    (folders[0] / "new" / "deep" / "evaluation.json").write_text('{"ratio": 2.1}')
    code, text = run("--markdown")
    assert code == 1
    assert row(text, "deep/evaluation/ratio") == ["2", "2.1", "0.1", "0.02"]


def test_a_claim_that_flips_is_said_in_both_tables(run, folders):
    folders[1]("claims", 0, "holds", to=False)
    code, text = run("--markdown")
    assert code == 1
    assert row(text, "fig04/claims/0/holds") == ["true", "false", "flipped", ""]
    assert "| fig04 | Ahead. | holds | does not hold | 0.51 > 0.40 |" in text
    assert "| fig04 | The last. | not checked | not checked | No mask |" in text


def test_another_picture_is_a_change(run, folders):
    folders[1]("pictures", 0, "picture", to="key_002")
    code, text = run("--markdown")
    assert code == 1
    assert row(text, "fig04/pictures/0/picture") == ["key_001", "key_002", "changed", ""]


def test_words_around_numbers_may_differ(run, folders):
    folders[1]("caption", to="Shares of 0.52.")
    folders[1]("claims", 0, "told", to="0.52 > 0.40")
    assert run()[0] == 0


@pytest.mark.parametrize(("right", "code"), [(593, 0), (594, 1)])
def test_the_first_kind_that_fits_counts(run, folders, right, code):
    """590 allow 5.9 by the last kind; counts of pictures have one of their own, before it."""
    folders[1]("selection", "counts", "right", to=right)
    assert run()[0] == code


def test_keys_and_files_of_one_side_alone_are_named(run, folders):
    folders[1]("selection", to={"counts": {"right": 590, "wrong": 10}})
    (folders[0] / "new" / "fig05.json").write_text("{}")
    (folders[0] / "new" / "deep" / "evaluation.json").unlink()
    code, text = run("--markdown")
    assert code == 1
    assert row(text, "fig04/selection/met") == ["true", "", "missing", ""]
    assert row(text, "fig04/selection/counts/wrong") == ["", "10", "added", ""]
    assert row(text, "deep/evaluation") == ['{"ratio": 2.0}', "", "missing", ""]
    assert row(text, "fig05") == ["", "{}", "added", ""]


def test_a_list_that_is_shorter(run, folders):
    folders[1]("claims", to=FIGURE["claims"][:1])
    code, text = run("--markdown")
    assert code == 1
    assert row(text, "fig04/claims/1")[2] == "missing"


def test_bars_and_lines_in_words_do_not_break_the_table(run, folders):
    folders[1]("pictures", 0, "picture", to="a|b\nc")
    assert "| fig04/pictures/0/picture | key_001 | a\\|b c | changed |  |" in run("--markdown")[1]


def test_plain_columns(run, folders):
    folders[1]("claims", 0, "holds", to=False)
    lines = run()[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("value"))
    assert lines[start].split() == ["value", "old", "new", "difference", "allowed"]
    assert lines[start + 2].split() == ["fig04/claims/0/holds", "true", "false", "flipped"]


ANY = [Kind("any", ["*"], absolute=1e9, relative=1e9)]


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, True), (0, None), ("1", 1), (1.0, float("nan")), (float("inf"), 1.0), ([1], {"0": 1})],
)
def test_no_tolerance_excuses_another_type_or_what_is_not_finite(old, new):
    assert all(one.beyond for one in differences("x", old, new, ANY))
    assert list(differences("x", old, new, ANY))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "a", 0.1, [], {}])
def test_every_value_equals_itself(value):
    assert list(differences("x", value, json.loads(json.dumps(value)), [])) == []


def test_without_a_kind_numbers_must_be_equal():
    (found,) = differences("x", 1.0, 1.0 + 1e-9, [])
    assert found.beyond


@pytest.mark.parametrize(
    ("kind", "new", "beyond"),
    [
        (Kind("a", ["x"], absolute=0.5), 2.5, False),
        (Kind("a", ["x"], absolute=0.5), 1.25, True),
        (Kind("a", ["x"], relative=0.25), 1.5, False),
        (Kind("a", ["x"], relative=0.25, absolute=0.1), 2.5, False),  # whichever is more
        (Kind("a", ["x"], relative=0.2, absolute=0.5), 1.5, False),
        (Kind("a", ["x/*"], absolute=9), 2.5, True),
    ],
)
def test_what_a_kind_allows(kind, new, beyond):
    (found,) = differences("x", 2.0, new, [kind])
    assert found.beyond is beyond


def test_nothing_to_compare_is_not_success(run, folders):
    for path in folders[0].glob("old/**/*.json"):
        path.unlink()
    code, text = run()
    assert code == 2
    assert "old: no JSON file is there" in text


def test_a_broken_file_is_named(run, folders):
    (folders[0] / "new" / "fig04.json").write_text("{")
    code, text = run()
    assert code == 2
    assert "new/fig04.json: not JSON" in text


@pytest.mark.parametrize(
    "content",
    [
        "[{kind: a, paths: ['*'], absolut: 1}]",
        "[{kind: a}]",
        "kind: a",
        "[{",
        "[1]",
        "[{kind: a, paths: x}]",
    ],
)
def test_tolerances_that_cannot_be_read(tmp_path, content):
    (tmp_path / "t.yaml").write_text(content)
    with pytest.raises(BadInput, match=r"t\.yaml: no list of tolerances \(.+\)"):
        tolerances(tmp_path / "t.yaml")


def test_no_tolerances_at_all(run, tmp_path):
    code, text = run("--tolerances", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "none.yaml" in text


def test_after_training_anew_only_claims_count(run, folders):
    trained = ("--tolerances", str(TOLERANCES.with_name("tolerances-trained.yaml")))
    folders[1]("claims", 0, "numbers", "share", to=0.9)
    folders[1]("pictures", to=[])
    assert run(*trained)[0] == 0
    folders[1]("claims", 1, "holds", to=True)
    code, text = run(*trained, "--markdown")
    assert code == 1
    assert row(text, "fig04/claims/1/holds") == ["null", "true", "changed", ""]
    assert "pictures" not in text


def test_the_tolerances_of_the_repository():
    """None is so wide that a share or a probability could be anything; the last fits all."""
    kinds = tolerances(TOLERANCES)
    assert [kind.kind for kind in kinds] == [
        k["kind"] for k in yaml.safe_load(TOLERANCES.read_text())
    ]
    assert kinds[-1].paths == ["*"]
    assert 0 < kinds[-1].allowed(1.0) <= 0.05
