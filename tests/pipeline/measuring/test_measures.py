"""Measures of maps whose answers are known: of a network that sees one quarter of the picture."""

import pytest
import torch
from torch import Tensor, nn

from naflow import Flow
from naflow.explainers import GradCAM, MeanActivation
from pipeline.measuring import measures
from pipeline.measuring.asked import OfClass, OfLikeness, asked
from pipeline.measuring.panel import Panel
from pipeline.measuring.sanity import sanity


class Colours(nn.Module):
    """Classes red, green and blue: how much of each the picture has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3)[..., None, None]
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x)).mean((2, 3)) * 20


def coloured(channel: int) -> Tensor:
    """A picture black but for a square of one colour, top left."""
    image = torch.zeros(3, 16, 16)
    image[channel, 2:8, 2:8] = 1
    return image


IMAGES = torch.stack([coloured(0), coloured(1), coloured(2)])
MASKS = IMAGES.sum(1) > 0
PANEL = Panel(
    ["a", "b", "c"], [""] * 3, IMAGES, MASKS, OfClass(torch.arange(3)), ["red", "green", "green"]
)


def test_place_of_a_perfect_and_of_an_empty_map() -> None:
    maps = MASKS.float()
    maps[1] = 0
    found = measures.place(maps, MASKS, 0)
    assert found["share"].tolist() == pytest.approx([1, float("nan"), 1], nan_ok=True)
    assert found["ratio"][0] == pytest.approx(256 / 36)
    assert found["interference"][0] == pytest.approx(0)
    assert found["pointing"][2] == found["rank_accuracy"][2] == 1


def test_faith_of_a_right_and_a_wrong_order() -> None:
    network = Colours().eval()

    def gain(maps: Tensor) -> Tensor:
        return measures.faith(lambda x: PANEL.answer(network, x), IMAGES, maps, 8, 0)["gain"]

    right, wrong = gain(MASKS.float() + 0.1), gain(1.1 - MASKS.float())
    assert (right > 0.05).all()
    torch.testing.assert_close(right, -wrong, rtol=0, atol=0.05)


def test_whose_map_it_is() -> None:
    network = Colours()
    order = torch.tensor([1, 2, 0])
    for explainer, expected in ((GradCAM(network), 1.0), (MeanActivation(network), 0.0)):
        found = measures.owner(explainer, IMAGES, PANEL.asked, order, ["relu"])
        torch.testing.assert_close(found["relu"]["own"], torch.full((3,), expected).double())


def test_the_middle_column_counts_half() -> None:
    class Fixed(GradCAM):
        def __call__(self, images, score, *, layers):
            row = [1.0, 2.0, 5.0] if score.index[0] == 0 else [1.0, 1.0, 1.0]
            maps = torch.tensor([[row], [row]])
            return Flow(["l"], {"l": maps}, torch.ones(2), None, None, "fixed")

    order = torch.tensor([1, 0])
    found = measures.owner(Fixed(Colours()), IMAGES[:2], OfClass(torch.arange(2)), order, ["l"])
    assert found["l"]["own"].tolist() == pytest.approx([(1 + 1) / 8 - 0.5] * 2)


def test_partners_are_of_another_class() -> None:
    assert PANEL.partners.tolist() == [1, 0, 0]
    alone = Panel(["a"], [""], IMAGES[:1], MASKS[:1], PANEL.asked, ["red"])
    assert alone.partners.tolist() == [0]
    found = measures.owner(GradCAM(Colours()), IMAGES[:1], PANEL.asked, alone.partners, ["relu"])
    assert found["relu"]["own"].isnan().all()


def test_which_networks_take_scenes() -> None:
    flattened = nn.Sequential(Colours().conv, nn.Flatten())
    assert PANEL.takes_scenes(Colours()) and not PANEL.takes_scenes(flattened)


def test_questions_of_both_kinds() -> None:
    outputs = torch.tensor([[1.0, 3.0], [2.0, 0.0]])
    of_class = asked(outputs, None)
    turned = torch.tensor([1, 0])
    assert of_class.score(turned)(outputs).tolist() == [1.0, 0.0]
    assert of_class.answer(turned)(outputs)[0] == pytest.approx(outputs.softmax(1)[0, 0].item())

    likeness = asked(outputs, torch.tensor([[2.0, 6.0], [0.0, 1.0]]))
    assert isinstance(likeness, OfLikeness)
    rows = torch.tensor([0, 1])
    assert likeness.answer(rows)(outputs.bfloat16()).tolist() == pytest.approx([1.0, 0.0])
    torch.testing.assert_close(
        likeness.score(rows[:1])(outputs[:1]), torch.tensor([(2 * 1 + 18 * 3) / 20])
    )


def test_a_similarity_contrasted_with_that_to_other_pictures() -> None:
    outputs = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    references = torch.tensor([[5.0, 0.0], [0.0, 1.0]])
    others = torch.tensor([[0.0, 7.0], [2.0, 0.0]])
    contrast = asked(outputs, references, others).score(torch.tensor([0, 1]))(outputs)
    # norms 5 and 2; cosines .6 and 1 to the references, on average .7 and .5 to the others
    torch.testing.assert_close(contrast, torch.tensor([5 * (0.6 - 0.7), 2 * (1 - 0.5)]))
    maps = outputs.view(2, 2, 1, 1)
    of_maps = asked(maps, references.view_as(maps), others.view_as(maps))
    torch.testing.assert_close(of_maps.score(torch.tensor([0, 1]))(maps), contrast)


def test_an_absent_reference_is_among_the_less_similar_half() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    asked_of = []

    def explain(network: nn.Module) -> object:
        def method(images: Tensor, score: object, *, layers: list[str]) -> Flow:
            asked_of.append(score.reference)
            return Flow(["l"], {"l": images[:, 1]}, torch.ones(3), None, None, "fixed")

        return method

    known = torch.eye(3)[[0, 0, 1, 1, 2, 2]]  # of red, green and blue pictures
    likeness = OfLikeness(torch.eye(3))
    panel = Panel(["a", "b", "c"], ["r"] * 3, IMAGES, MASKS, likeness, ["red"] * 3, known)
    flow = Flow(["l"], {"l": IMAGES.sum(1)}, torch.ones(3), None, Mean()(IMAGES), "fixed")
    found = sanity(explain, Mean(), panel, flow, ["l"], 0)["l"]
    (drawn,) = asked_of
    assert drawn.shape == (3, 3) and (drawn * Mean()(IMAGES)).sum() == 0
    assert found["absent_empty"].tolist() == [1, 0, 1] and "redrawn_rank" not in found
    assert found["absent_rank"].tolist() == pytest.approx([0, 1, 0])
    given = Panel(["a", "b", "c"], ["r"] * 3, IMAGES, MASKS, likeness, ["red"] * 3)
    assert sanity(explain, Mean(), given, flow, ["l"], 0) == {}
