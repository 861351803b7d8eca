"""Intersection over union, by sums written out."""

import torch

from pipeline.segmentation import iou
from pipeline.segmentation.targets import VOID


def test_against_sums_over_single_pixels():
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, 4, (3, 7, 5), generator=generator, dtype=torch.uint8)
    targets = torch.randint(0, 4, (3, 7, 5), generator=generator, dtype=torch.uint8)
    targets[0, 0] = VOID
    found = iou.intersection_over_union(iou.confusion(predicted, targets, 4)).tolist()
    pairs = [
        (p, t)
        for p, t in zip(predicted.flatten().tolist(), targets.flatten().tolist(), strict=True)
        if t != VOID
    ]
    for number in range(4):
        both = sum(p == t == number for p, t in pairs)
        either = sum(number in (p, t) for p, t in pairs)
        assert found[number] == both / either
    right = sum(p == t for p, t in pairs) / len(pairs)
    numbers = iou.numbers(iou.confusion(predicted, targets, 4), "abcd")
    assert numbers["accuracy"] == round(right, 4)
    assert numbers["mean_iou"] == round(sum(found) / 4, 4)


def test_a_class_that_is_nowhere_has_none_and_does_not_count():
    predicted = torch.tensor([[[0, 0, 2, 2]]], dtype=torch.uint8)
    targets = torch.tensor([[[0, 0, 2, 0]]], dtype=torch.uint8)
    numbers = iou.numbers(iou.confusion(predicted, targets, 4), ["a", "b", "c", "d"])
    assert numbers["iou"] == {"a": round(2 / 3, 4), "b": None, "c": 0.5, "d": None}
    assert numbers["mean_iou"] == round((2 / 3 + 1 / 2) / 2, 4)


def test_a_class_predicted_where_it_is_not_counts_as_zero():
    predicted = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    targets = torch.tensor([[[0, 0]]], dtype=torch.uint8)
    assert iou.numbers(iou.confusion(predicted, targets, 2), "ab")["iou"] == {"a": 0.5, "b": 0.0}
