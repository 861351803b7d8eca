"""Rules on decisions that are given: who is chosen, and what is said where nobody fits."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from naflow.errors import BadInput
from pipeline.judging.decisions import Decided, Decision, read, write
from pipeline.judging.rules import Correct, Disagreement, Named
from pipeline.pictures import outline
from pipeline.pictures.images import Folder
from pipeline.pictures.outline import intricacy


def decision(key, label, predicted, margin=0.5, reference="r"):
    return Decision(key, key, label, predicted, margin, reference)


@pytest.fixture
def images(scenes):
    return Folder(str(scenes), "shapes", "index.csv", {"label": "class", "group": "class_split"})


@pytest.fixture
def drawn(tmp_path):
    """A folder of one picture a shape: a disc, a star, and a thin cross, with masks."""
    shapes = {}
    for name in ("disc", "cross", "bare"):
        mask = Image.new("L", (96, 96))
        draw = ImageDraw.Draw(mask)
        if name == "disc":
            draw.ellipse((8, 8, 88, 88), fill=255)
        else:
            draw.rectangle((44, 8, 52, 88), fill=255)
            draw.rectangle((8, 44, 88, 52), fill=255)
        mask.save(tmp_path / f"{name}.mask.png")
        Image.new("RGB", (96, 96)).save(tmp_path / f"{name}.png")
        shapes[name] = mask
    rows = ["image,mask,class,id"]
    rows += [f"{n}.png,{'' if n == 'bare' else f'{n}.mask.png'},{n},{n}" for n in shapes]
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    return Folder(str(tmp_path), "drawn", "index.csv", {"id": "id"})


def test_a_disc_is_simple_and_a_cross_intricate(drawn):
    disc, cross, bare = (intricacy(drawn.of_id(key)) for key in ("disc", "cross", "bare"))
    assert disc == pytest.approx(1, abs=0.05)
    assert cross > 3
    assert np.isnan(bare)  # nothing tells: 1 would call it a disc


def test_outlines_are_measured_in_one_size(drawn, monkeypatch):
    before = intricacy(drawn.of_id("cross"))
    monkeypatch.setattr(outline, "SIDE", 48)
    assert intricacy(drawn.of_id("cross")) == pytest.approx(before, rel=0.15)


def test_the_first_correct_ones_the_classes_in_turn(images):
    table = [decision("a", "x", "x"), decision("b", "x", "x"), decision("c", "y", "x")]
    table += [decision("d", "y", "y")]
    found = Correct(2)("fig", "net", {"net": table}, images)
    assert [one.decision.picture for one in found.chosen] == ["a", "d"]
    assert found.met
    assert found.counts == {"decided": 4, "right": 3}
    assert "net decides rightly" in found.rule


def test_named_classes_are_those_of_the_image_set(images):
    table = [decision("a", "x", "x"), decision("b", "y", "y"), decision("c", "z", "z")]
    named = {"shapes": ["[xz]"], "elsewhere": ["y"]}
    found = Correct(3, named)("fig", "net", {"net": table}, images)
    assert [one.decision.picture for one in found.chosen] == ["a", "c"]
    assert not found.met  # three were asked for
    assert found.counts["of the named classes"] == 2


def test_where_none_is_right_the_narrowest_is_shown_and_it_is_said(images):
    table = [decision("a", "x", "y", 0.9), decision("b", "x", "y", 0.1)]
    found = Correct(1)("fig", "net", {"net": table}, images)
    assert [one.decision.picture for one in found.chosen] == ["b"]
    assert (found.met, found.chosen[0].why) == (False, "wrong")


def test_a_disagreement_shows_the_same_pictures_for_both(images):
    weak = [decision("a", "x", "y", 0.2), decision("b", "z", "y", 0.6), decision("c", "x", "x")]
    strong = [decision(key, of, of, 0.5, "s") for key, of in (("a", "x"), ("b", "z"), ("c", "x"))]
    decided, rule = {"weak": weak, "strong": strong}, Disagreement("weak", "strong", 2)
    for model, reference in (("weak", "r"), ("strong", "s")):
        found = rule("fig", model, decided, images)
        assert [one.decision.picture for one in found.chosen] == ["b", "a"]  # the clearer first
        assert {one.decision.reference for one in found.chosen} == {reference}
        assert found.met
        assert found.counts["wrong in weak, right in strong"] == 2


def test_of_one_class_another_picture_is_only_taken_last(images):
    weak = [
        decision(key, of, "y", by)
        for key, of, by in (("a", "x", 0.9), ("b", "x", 0.8), ("c", "z", 0.1))
    ]
    strong = [decision(key, of, of, 0.9) for key, of in (("a", "x"), ("b", "x"), ("c", "z"))]
    decided = {"weak": weak, "strong": strong}
    for count, expected in ((2, ["a", "c"]), (3, ["a", "c", "b"])):
        found = Disagreement("weak", "strong", count)("fig", "weak", decided, images)
        assert [one.decision.picture for one in found.chosen] == expected


def test_simple_in_both_and_intricate_disagreed_on(drawn):
    weak = [decision("disc", "x", "x"), decision("cross", "z", "y"), decision("bare", "w", "w")]
    strong = [decision(key, label, label) for key, label in (("disc", "x"), ("cross", "z"))]
    rule = Disagreement("weak", "strong", pictures=1, both=1)
    found = rule("fig", "weak", {"weak": weak, "strong": strong}, drawn)
    assert [one.decision.picture for one in found.chosen] == ["disc", "cross"]
    assert [one.why for one in found.chosen] == ["right in both", "wrong in weak, right in strong"]
    assert found.met


def test_without_masks_the_rule_says_what_was_gone_by(drawn):
    """One picture without a mask, and outlines decide nothing; the margins do, and it is said."""
    shown = [decision("disc", "x", "x", 0.2), decision("bare", "w", "w", 0.7)]
    weak = [*shown, decision("cross", "z", "y")]
    strong = [*shown, decision("cross", "z", "z")]
    rule = Disagreement("weak", "strong", pictures=1, both=1)
    found = rule("fig", "weak", {"weak": weak, "strong": strong}, drawn)
    assert [one.decision.picture for one in found.chosen] == ["bare", "cross"]
    assert "outline" not in found.rule.replace("no masks tell outlines", "")
    assert "clearest margin that both decide rightly" in found.rule
    assert "the clearest margins among those that weak decides wrongly" in found.rule
    with_masks = {"weak": [weak[0], weak[2]], "strong": [strong[0], strong[2]]}
    assert "most intricate outlines" in rule("fig", "weak", with_masks, drawn).rule
    assert "no masks" not in rule("fig", "weak", with_masks, drawn).rule


def test_where_nobody_is_right_nothing_is_chosen_and_the_rule_is_still_true(drawn, images):
    wrong = [decision("disc", "x", "y"), decision("cross", "z", "y")]
    rule = Disagreement("weak", "strong", pictures=1, both=1)
    for folder, outlined in ((drawn, False), (images, True)):
        found = rule("fig", "weak", {"weak": wrong, "strong": wrong}, folder)
        assert (found.chosen, found.met) == ((), False)
        assert ("most intricate outlines" in found.rule) is outlined


def test_many_named_classes_are_told_by_the_first_and_the_last(images, monkeypatch):
    labels = [f"n{number:08d} dog {number}" for number in range(20)]
    monkeypatch.setattr(images, "classes", labels)
    for pattern, words in (
        ("n0000000[2-9]*", " of the 8 classes from dog 2 to dog 9"),
        ("n0000001[89]*", " of the classes dog 18, dog 19"),
        ("n00000003*", " of the classes dog 3"),
    ):
        assert Named({"shapes": [pattern]}).words(images) == words


def test_named_classes_of_a_disagreement_come_first_and_others_break_the_rule(images):
    weak = [decision("a", "x", "y", 0.9), decision("b", "z", "y", 0.1)]
    decided = {"weak": weak, "strong": [decision(k, o, o) for k, o in (("a", "x"), ("b", "z"))]}
    for pattern, expected, met in (("z", "b", True), ("x*", "a", True), ("q", "a", False)):
        rule = Disagreement("weak", "strong", 1, named={"shapes": [pattern]})
        found = rule("fig", "weak", decided, images)
        assert ([one.decision.picture for one in found.chosen], found.met) == ([expected], met)
        assert f"of the classes {pattern}" in found.rule
    elsewhere = Disagreement("weak", "strong", 1, named={"cub": ["q"]})
    assert elsewhere("fig", "weak", decided, images).met


def test_without_any_disagreement_the_nearest_is_shown_and_it_is_said(images):
    weak = [decision("a", "x", "x", 0.9), decision("b", "x", "x", 0.1)]
    found = Disagreement("weak", "strong", 1)("fig", "weak", {"weak": weak, "strong": weak}, images)
    assert [one.decision.picture for one in found.chosen] == ["b"]
    assert not found.met
    assert found.chosen[0].why.startswith("all but wrong in weak")


def test_decisions_come_back_from_their_file(tmp_path):
    table = [
        Decision("0/a b", "a b", "x", "y", 0.25, "c", ("c", "d, e")),
        Decision("f", "f", "x", "x", float(np.float32(0.1))),
    ]
    write(tmp_path / "net.csv", table)
    assert read(tmp_path / "net.csv")[0] == table[0]
    assert read(tmp_path / "net.csv")[1].margin == pytest.approx(0.1)
    with pytest.raises(BadInput, match=r"lost.csv: there is no such file.*pipeline.verify"):
        Decided(tmp_path)["lost"]


def test_of_a_network_that_finds_references_only_what_has_one_is_shown(tmp_path):
    table = [
        decision("a", "x", "x", reference=""),
        decision("b", "x", "x"),
        decision("c", "x", "y"),
    ]
    write(tmp_path / "alike.csv", table)
    write(tmp_path / "classes.csv", [decision("a", "x", "x", reference="")])
    decided = Decided(tmp_path)
    assert [one.picture for one in decided["alike"]] == ["b", "c"]
    assert [one.picture for one in decided["classes"]] == ["a"]
