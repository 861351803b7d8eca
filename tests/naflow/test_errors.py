"""Errors: one line, or several, in which nothing acts on the screen."""

from __future__ import annotations

import os

import pytest

from naflow.errors import BadInput, near_names, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b/c.jpg", "a b/c.jpg"),
        ("Ångström 日本 \U0001f469\u200d\U0001f4bb", "Ångström 日本 \U0001f469\u200d\U0001f4bb"),
        ("a\x1b[2Kb", r"a\x1b[2Kb"),
        ("a\nb\r\t\x00\x7f\x9b", r"a\nb\r\t\x00\x7f\x9b"),
        ("a\u202egpj.exe\u2066", r"a\u202egpj.exe\u2066"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        (os.fsdecode(b"a\xff.jpg"), r"a\udcff.jpg"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_acts_on_a_screen_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(BadInput(f"{text}: there is no such file.")) == f"{shown}: there is no such file."


def test_nothing_is_near_where_nothing_is_known() -> None:
    assert near_names("a", []) == ""
    assert near_names("a", ["b"]) == " Known: b."
    assert near_names("ab", ["abc"]) == " Did you mean 'abc'?"


def test_each_argument_is_a_line() -> None:
    assert str(BadInput("one\ntwo", "three")) == "one\\ntwo\nthree"
    assert str(BadInput()) == ""
