"""Settings of a file: data alone, of the kinds that the network's function takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from naflow import BadInput
from naflow.models.registry import settings_of
from naflow.models.settings import check, parameters, plain


def network(
    classes: int = 10,
    slope: float = 0.1,
    pools: Collection[int] = (1, 2),
    kind: Literal["a", "b"] = "a",
    name: str | None = None,
    flat: bool = True,
    hook: Callable | None = None,
    source: Path | None = None,
    more: Mapping[str, int] | None = None,
    anything=None,
    **rest: object,
) -> None: ...


@pytest.mark.parametrize(
    "settings", [{}, {"a": 1, "b": -0.5, "c": "x", "d": True, "e": [1, [2, "y"]], "f": []}]
)
def test_numbers_text_and_lists_are_plain(settings: dict[str, Any]) -> None:
    assert plain(settings, "here") == settings


@pytest.mark.parametrize("value", [None, {}, {"_target_": "os.system"}, [{}], [None], float("nan"),
                                   float("inf"), [float("-inf")]])  # fmt: skip
def test_nothing_else_is(value: object) -> None:
    with pytest.raises(BadInput, match=r"^here: the setting 'classes' is .*only finite numbers"):
        plain({"classes": value}, "here")


@pytest.mark.parametrize("whole", [[], 5, "x", None, [["classes", 5]]])
def test_settings_are_names_with_values(whole: object) -> None:
    with pytest.raises(BadInput, match=r"^here: the settings are .*, not names with values"):
        plain(whole, "here")


@pytest.mark.parametrize("name", ["_target_", "_args_", "_partial_", "_recursive_", "_convert_"])
def test_what_names_code_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadInput, match=rf"^here: '{name}' was refused and nothing was called"):
        plain({"classes": 5, name: "os.system"}, "here")


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": 3, "slope": 0.5, "kind": "b", "name": "x", "flat": False},
        {"slope": 1, "pools": [1, 2, 3], "name": None},
        {"pools": {1, 2}},
        {"pools": (1,), "anything": [1, "x"]},
    ],
)
def test_values_of_the_kind_that_is_taken(settings: dict[str, Any]) -> None:
    check(settings, parameters(network), "network")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "5"),
        ("classes", 5.0),
        ("classes", True),
        ("classes", [5]),
        ("slope", "0.1"),
        ("slope", False),
        ("pools", 1),
        ("pools", "12"),
        ("pools", ["1"]),
        ("kind", "c"),
        ("name", 1),
        ("flat", 1),
        ("hook", "os.system"),
        ("hook", ["x"]),
        ("source", "/etc/passwd"),
        ("more", [1]),
    ],
)
def test_values_of_another_kind(name: str, value: object) -> None:
    with pytest.raises(BadInput, match=rf"^network: the setting '{name}' is .*; it must be "):
        check({name: value}, parameters(network), "network")


def test_unknown_names_are_answered_with_near_ones() -> None:
    for name in ("clases", "rest", "self"):
        with pytest.raises(BadInput, match=rf"^network has no setting '{name}'\. "):
            check({name: 5}, parameters(network), "network")


def test_every_network_of_the_registry_tells_its_settings() -> None:
    assert settings_of("resnet18") == {"classes": int}
    assert set(settings_of("conv64f")) == {"slope", "pools", "bias", "flatten"}
