"""The figure and its words say what the answers hold."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.segmentation.answers import Answer, Question
from pipeline.segmentation.drawing import Sheet, drawn
from pipeline.segmentation.marks import coloured
from pipeline.segmentation.words import told


def answer(kind="class", pixels=None, refused=""):
    region = np.zeros((16, 16), bool)
    region[4:12, 4:10] = True
    pixels = region if pixels is None else pixels
    maps = {} if refused else {"hires": {"enc.a": np.eye(8), "dec.b": np.ones((16, 16))}}
    maps = maps and maps | {"naflow": {"enc.a": np.eye(8)}}
    return Answer(
        Question("fish", kind),
        "pond/fish_7.png",
        np.full((16, 16, 3), 0.4),
        region.astype(np.uint8) * 2,
        region,
        pixels,
        0.625,
        maps,
        {"hires": {}, "naflow": {"enc.a": 0.125}} if maps else {},
        {"hires": {}, "naflow": {"enc.a": "through dec.b"}} if maps else {},
        {k: dict.fromkeys(v, 0.25) for k, v in maps.items()},
        refused,
    )


@pytest.fixture
def sheet():
    point = np.zeros((16, 16), bool)
    point[7, 7] = True
    return Sheet(
        "unet",
        "pond",
        ["background", "weed", "fish"],
        {"hires": "Seg-HiRes", "naflow": "NAFlow (damped)"},
        ["enc.a", "dec.b"],
        [
            answer(),
            answer("point", point),
            answer("all", np.ones((16, 16), bool)),
            answer("component", np.zeros((16, 16), bool), "fish is predicted nowhere in pond."),
        ],
    )


def test_a_figure_has_words_for_everything(sheet):
    figure = drawn(sheet)
    words = " ".join(text.get_text() for text in figure.texts)
    for said in ("Seg-HiRes", "NAFlow", "(damped)", "fish: class", "fish: point", "IoU 0.62"):
        assert said in words
    assert "predicted nowhere" in words
    assert "weed" not in words  # it is predicted in no picture


def test_the_caption_tells_every_question_and_what_naflow_reads_inside(sheet):
    found = told(sheet)
    assert "unet on the image set 'pond', 16×16 pixels" in found["caption"]
    assert (
        "the pixel deepest inside the largest connected part of what is predicted so, 1 pixel?"
        in found["caption"]
    )
    assert "fish is predicted nowhere in pond." in found["caption"]
    assert "enc.a" in found["caption"].split("read")[0]
    assert "All grey" not in found["caption"]
    assert found["answers"][0]["count"] == 48
    assert found["answers"][0]["inside"]["hires"] == {"enc.a": 0.25, "dec.b": 0.25}
    assert found["answers"][0]["residuals"] == {"naflow": {"enc.a": 0.125}}
    assert found["answers"][3]["refused"]


def test_a_map_of_zeros_and_methods_without_an_inverse(sheet):
    maps = {"hires": {"enc.a": np.eye(8), "dec.b": np.zeros((16, 16))}}
    alone = replace(answer(), maps=maps, residuals={"hires": {}}, rules={"hires": {}})
    only = replace(sheet, methods={"hires": "Seg-HiRes"}, answers=[alone])
    assert "All grey: the map is zero everywhere." in told(only)["caption"]
    words = " ".join(text.get_text() for text in drawn(only).texts)
    assert "residual" not in words
    assert "residual" in " ".join(text.get_text() for text in drawn(sheet).texts)


def test_classes_have_colours_of_their_own():
    found = coloured(np.arange(21, dtype=np.uint8)[None])
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 21
