"""What classes are called: in words, and no two alike."""

import pytest

from pipeline.pictures.labels import spoken
from pipeline.pictures.synsets import in_words


def test_a_thousand_classes_have_words():
    wnids = [f"n{7 * number:08d}" for number in range(1000)]
    words = in_words(wnids)
    assert len(set(words.values())) == 1000
    places = {0: "tench", 151: "Chihuahua", 444: "bicycle-built-for-two", 999: "toilet tissue"}
    assert {place: spoken(words[wnids[place]]) for place in places} == places
    cranes = [label for label in words.values() if spoken(label).startswith("crane")]
    assert len(cranes) == len(set(cranes)) == 2
    assert in_words(wnids[::-1]) == words
    assert in_words(wnids[:4]) == {wnid: wnid for wnid in wnids[:4]}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("n01440764 tench", "tench"),
        ("n01440764", "n01440764"),
        ("004.Groove_billed_Ani", "Groove billed Ani"),
        ("star", "star"),
        ("1234.x", "1234.x"),
    ],
)
def test_how_labels_are_read(label, words):
    assert spoken(label) == words
