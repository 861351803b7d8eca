"""What is asked of which picture, and what comes of a question without an answer."""

import pytest
import torch
from torch import nn

from naflow import NAFlow
from naflow.errors import BadInput
from naflow.explainers import SegGradCAM, SegHiResGradCAM
from naflow.scores import PixelSet
from pipeline.pictures.pixels import Pixels, normalised
from pipeline.segmentation.answers import Examiner, Question
from pipeline.segmentation.targets import Labelled

MEAN, STD = [0.5] * 3, [0.25] * 3


@pytest.fixture
def shown():
    """Five pictures whose class 1 is a square; the last one has none."""
    targets = torch.zeros(5, 16, 16, dtype=torch.uint8)
    targets[:4, 4:12, 4:12] = 1
    images = torch.randint(0, 255, (5, 3, 16, 16), dtype=torch.uint8)
    ids = [f"p{n}" for n in range(5)]
    nothing = torch.zeros(5, 16, 16, dtype=torch.bool)
    pixels = Pixels(ids, images, torch.zeros(5).long(), nothing, torch.zeros(5, 4))
    return Labelled(["ground", "square", "ghost"], pixels, targets)


@pytest.fixture
def predicted(shown):
    """The square of picture n lacks its first 2 n columns: IoU 1, 3/4, 1/2 and 1/4."""
    found = shown.targets.clone()
    for number in range(4):
        found[number, :, 4 : 4 + 2 * number] = 0
    return found


@pytest.fixture
def ask(shown, predicted):
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
    model[2].weight.data.abs_()  # no map is empty
    methods = {"grad": SegGradCAM(model), "hires": SegHiResGradCAM(model), "naflow": NAFlow(model)}

    def asked(*of, layers=("1",), **settings):
        question = Question(*of, **settings)
        return Examiner(shown, predicted, methods, layers, MEAN, STD, 0.05)(question)

    asked.methods = methods
    return asked


def test_a_typical_picture_is_the_one_in_the_middle(ask):
    answer = ask("square")
    assert (answer.picture, answer.iou) == ("p2", 0.5)  # of 1/4, 1/2, 3/4, 1 the lower middle
    assert answer.region.sum() == answer.pixels.sum() == 32
    named = ask("square", picture="p1")
    assert (named.picture, named.iou) == ("p1", 0.75)


def test_maps_are_the_methods_own(ask, shown, predicted):
    answer = ask("square", "point", picture="p0")
    images = normalised(shown.pixels.images[:1], MEAN, STD)
    pixels = torch.from_numpy(answer.pixels)
    assert pixels.sum() == 1
    for name, method in ask.methods.items():
        flow = method(images, PixelSet(1, pixels))
        torch.testing.assert_close(torch.from_numpy(answer.maps[name]["1"]), flow["1"][0])
        found = flow.stack((16, 16))[0, flow.layers.index("1")].double()
        share = float(found[predicted[0] == 1].sum() / found.sum())
        assert answer.inside[name]["1"] == pytest.approx(share)
    assert answer.residuals["naflow"].keys() == {"1"}
    assert not answer.residuals["grad"]


def test_an_absent_class_is_told(ask):
    answer = ask("ghost", "component", picture="p0")
    assert "ghost is predicted nowhere in p0" in answer.refused
    assert answer.maps == {}
    assert answer.iou == 0
    everywhere = ask("ghost", "all", picture="p0")  # its logits are everywhere
    assert not everywhere.refused
    assert everywhere.inside["hires"]["1"] is None


def test_questions_that_cannot_be_asked(ask):
    with pytest.raises(BadInput, match=r"no class 'squre'.*'square'"):
        ask("squre")
    with pytest.raises(BadInput, match=r"no picture 'p9'"):
        ask("square", picture="p9")
    with pytest.raises(BadInput, match=r"No picture shows ghost on 5%"):
        ask("ghost")
    with pytest.raises(BadInput, match=r"segment\.layers: no method has '7'"):
        ask("square", layers=["7"])
