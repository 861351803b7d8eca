"""What is below its gate is said with both numbers and what to do."""

import pytest

from naflow.errors import BadInput
from pipeline.judging.gate import check


def test_at_the_gate_and_above_it_passes():
    check({"top1": 0.7, "top5": 0.9}, {"top1": 0.7}, "net on 'x'", "recipe")
    check({"top1": 0.7}, {}, "net on 'x'", "recipe")


@pytest.mark.parametrize("value", [0.69, float("nan")])
def test_below_it_or_nan_fails(value):
    with pytest.raises(
        BadInput, match=r"top1 is (0\.6900|nan).* 0\.7000 is required. Train longer"
    ):
        check({"top1": value}, {"top1": 0.7}, "net on 'x'", "recipe")
    with pytest.raises(BadInput, match=r"required. Look again, or require less \(recipe\.gate\)"):
        check({"top1": value}, {"top1": 0.7}, "net on 'x'", "recipe", "Look again")


def test_a_number_that_is_not_measured_is_said():
    with pytest.raises(BadInput, match=r"recipe\.gate\.knn.*Measured: top1, pictures"):
        check({"top1": 1, "pictures": 2}, {"knn": 0.7}, "net on 'x'", "recipe")
