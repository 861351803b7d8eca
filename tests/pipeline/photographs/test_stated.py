"""What is stated of known photographs: which of it holds, and that a network of which it does not
hold is refused."""

import pytest
import torch

from naflow.errors import BadInput
from pipeline.judging import gate
from pipeline.models.subject import Outputs
from pipeline.photographs.stated import Stated
from pipeline.pictures.images import Part

CLASSES = ["tench", "Egyptian cat", "espresso", "missile"]
VALUES = [[0, 3, 1, 2], [5, 0, 4, 3], [9, 0, 1, 2.0]]  # a row a picture


class Given:
    """Stands for a subject whose outputs are known."""

    def outputs(self, part):
        labels = torch.tensor([1, 2, 2])
        names = [CLASSES[number] for number in labels]
        return Outputs(torch.tensor(VALUES), labels, CLASSES, names, ["cat", "coffee", "own/1.jpg"])


def test_what_holds_and_at_which_rank(caplog):
    stated = Stated(Part(), {"cat": "Egyptian cat", "coffee": "espresso"}, within=2)
    verdict = stated(Given(), 0)
    ranks = {"cat: rank of 'Egyptian cat'": 1, "coffee: rank of 'espresso'": 2}
    assert verdict.numbers == {"stated": 1, **ranks}
    assert not caplog.records
    gate.check(verdict.numbers, {"stated": 1}, "it", "recipe")


def test_what_does_not_hold_is_said_and_the_network_refused(caplog):
    verdict = Stated(Part(), {"cat": "Egyptian cat", "coffee": "espresso"}, within=1)(Given(), 0)
    assert verdict.numbers["stated"] == 0.5
    assert caplog.messages == [
        "coffee: 'espresso' is stated to be among the 1 most probable classes. It is number 2; the "
        "first is 'tench'."
    ]
    with pytest.raises(BadInput, match=r"stated is 0\.5000, and at least 1\.0000 is required"):
        gate.check(verdict.numbers, {"stated": 1}, "it", "recipe")


def test_every_picture_is_decided():
    decisions = Stated(Part(), {"cat": "Egyptian cat"})(Given(), 0).decisions
    assert [one.predicted for one in decisions] == ["Egyptian cat", "tench", "tench"]
    assert [one.label for one in decisions] == ["Egyptian cat", "espresso", "espresso"]
    probabilities = torch.tensor(VALUES).softmax(1).sort(1).values
    margins = (probabilities[:, -1] - probabilities[:, -2]).tolist()
    assert [one.margin for one in decisions] == pytest.approx(margins)


@pytest.mark.parametrize(
    ("stated", "told"),
    [({"cta": "tench"}, "there is no picture 'cta'.*cat"), ({"cat": "mug"}, "'mug' is no output")],
)
def test_statements_that_cannot_be_checked(stated, told):
    with pytest.raises(BadInput, match=told):
        Stated(Part(), stated)(Given(), 0)
