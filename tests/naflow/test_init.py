"""What the package offers, imported when it is first asked for."""

from __future__ import annotations

import pytest

import naflow


def test_every_name_is_there_and_listed() -> None:
    for name in naflow.__all__:
        assert getattr(naflow, name) is getattr(naflow, name)
        assert name in dir(naflow)
    assert naflow.NAFlow.__module__.startswith("naflow.cascade")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'naflow' has no attribute 'NAFLow'"):
        _ = naflow.NAFLow  # type: ignore[attr-defined]
