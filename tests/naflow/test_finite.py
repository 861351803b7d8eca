"""Samples that hold a NaN or infinity are named, and no others."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from naflow.finite import not_finite


@given(
    st.lists(st.sampled_from([0.0, 1.0, -3e38, 3e38, math.inf, -math.inf, math.nan]), min_size=1)
)
def test_every_sample_that_is_not_finite_is_named(values: list[float]) -> None:
    wrong = [i for i, value in enumerate(values) if not math.isfinite(value)]
    assert not_finite(torch.tensor(values)) == wrong
    maps = torch.ones(len(values), 2, 3)
    maps[:, 1, 2] = torch.tensor(values)
    assert not_finite(maps) == wrong


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int64])
def test_any_dtype(dtype: torch.dtype) -> None:
    assert not_finite(torch.full((2, 300, 300), 9, dtype=dtype)) == []
