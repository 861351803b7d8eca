"""By which rule a figure's pictures are found among what the networks decided."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import chain
from math import isnan
from typing import Protocol

from pipeline.explanations.cases import in_turn
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection
from pipeline.pictures.images import Folder
from pipeline.pictures.labels import spoken
from pipeline.pictures.outline import intricacy

MANY = 6  # classes, that are not listed one by one

Decisions = Mapping[str, Sequence[Decision]]  # model -> what it decided
Pair = tuple[Decision, Decision]  # of the same trial, by two networks


class Rule(Protocol):
    """Finds pictures for a figure of `model`."""

    def __call__(
        self, figure: str, model: str, decisions: Decisions, images: Folder
    ) -> Selection: ...


@dataclass(frozen=True)
class Named:
    """The classes that a figure's text names: name of an image set -> patterns of class names, as
    in {cub: ["*Myrtle_Warbler"]}. Where an image set has none, every class will do."""

    of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def words(self, images: Folder) -> str:
        """The classes asked for, as in " of the classes a, b"; "" for any. Of many, the first and
        the last one, and how many."""
        patterns = self.of.get(images.name, ())
        if not patterns:
            return ""
        names = [spoken(label) for label in images.classes if self.has(label, images)]
        if len(names) > MANY:
            return f" of the {len(names)} classes from {names[0]} to {names[-1]}"
        return f" of the classes {', '.join(names or patterns)}"

    def has(self, label: str, images: Folder) -> bool:
        """Whether a class is among them."""
        return any(fnmatch(label, pattern) for pattern in self.of.get(images.name, ("*",)))


@dataclass(frozen=True)
class Correct:
    """The first pictures decided rightly, of the named classes, the classes in turn."""

    pictures: int
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __call__(self, figure: str, model: str, decisions: Decisions, images: Folder) -> Selection:
        named = Named(self.named)
        of_named = [one for one in decisions[model] if named.has(one.label, images)]
        right = [one for one in of_named if one.right]
        nearest = sorted(decisions[model], key=lambda one: (not one.right, one.margin))
        chosen = in_turn(right or nearest)[: self.pictures]
        counts = {"decided": len(decisions[model])}
        if named.words(images):
            counts |= {"of the named classes": len(of_named)}
        return Selection(
            figure,
            model,
            f"the first pictures{named.words(images)} that {model} decides rightly, the classes in "
            "turn",
            len(right) >= self.pictures,
            tuple(Chosen(one, "right" if one.right else "wrong") for one in chosen),
            counts | {"right": len(right)},
        )


@dataclass(frozen=True)
class Disagreement:
    """Pictures that the model `wrong` gets wrong and the model `right` right; the same for both.

    both      so many further pictures that both get right come first: the simplest objects. The
              objects of the others are then the most intricate (pipeline.pictures.outline). With
              none, and where a picture that might be chosen has no mask, the ones decided most
              clearly are taken, whose smaller margin is the largest
    pictures  how many are disagreed on, of different classes
    named     the classes of these; named_both: of the ones before (see Named)

    Where no picture of the named classes is disagreed on, one of any class is taken; where there is
    none at all, the ones that `wrong` decides most narrowly.
    """

    wrong: str
    right: str
    pictures: int
    both: int = 0
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    named_both: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __call__(self, figure: str, model: str, decisions: Decisions, images: Folder) -> Selection:
        of_right = {one.trial: one for one in decisions[self.right]}
        pairs = [
            (one, of_right[one.trial]) for one in decisions[self.wrong] if one.trial in of_right
        ]
        agreed = [pair for pair in pairs if pair[0].right and pair[1].right]
        differing = [pair for pair in pairs if not pair[0].right and pair[1].right]
        nearest = sorted((p for p in pairs if p[1].right), key=lambda pair: pair[0].margin)
        named, named_both = Named(self.named), Named(self.named_both)
        wanted = [pair for pair in differing if named.has(pair[0].label, images)]

        alike = [pair for pair in agreed if self.both and named_both.has(pair[0].label, images)]
        asked = wanted or differing
        outlines = intricacies([*alike, *asked], images) if self.both else None
        if outlines is None:
            simple = sorted(alike, key=clearness, reverse=True)[: self.both]
            ranked = sorted(asked, key=clearness, reverse=True)
        else:
            simple = sorted(alike, key=lambda pair: outlines[pair[0].picture])[: self.both]
            ranked = sorted(asked, key=lambda pair: outlines[pair[0].picture], reverse=True)
        shown = of_different_classes(ranked or nearest, self.pictures)
        why = f"wrong in {self.wrong}, right in {self.right}"
        reasons = [(pair, "right in both") for pair in simple]
        reasons += [(pair, why if differing else f"all but {why}") for pair in shown]
        told = {one.trial: one for one in decisions[model]}
        return Selection(
            figure,
            model,
            self.rule(images, outlines is not None),
            len(simple) == self.both and len(wanted) >= self.pictures,
            tuple(Chosen(told[pair[0].trial], reason) for pair, reason in reasons),
            {"decided by both": len(pairs), "right in both": len(agreed), why: len(differing)},
        )

    def rule(self, images: Folder, outlined: bool) -> str:
        """The rule in words: what was really gone by."""
        named, before = (Named(one).words(images) for one in (self.named, self.named_both))
        simplest = "simplest outline" if outlined else "clearest margin"
        first = f"the {simplest}{before} that both decide rightly, then " if self.both else ""
        order = "most intricate outlines" if outlined else "clearest margins"
        unknown = " (no masks tell outlines here)" if self.both and not outlined else ""
        return (
            f"{first}the {order} among those{named} that {self.wrong} decides wrongly and "
            f"{self.right} rightly{unknown}"
        )


def intricacies(pairs: Iterable[Pair], images: Folder) -> dict[str, float] | None:
    """How intricate the object of each pair's picture is; None where one has no mask."""
    asked = {pair[0].picture for pair in pairs}
    pictures = [one for one in images.pictures if one.id in asked]
    if any(one.mask is None for one in pictures or images.pictures):
        return None
    found = {one.id: intricacy(one) for one in pictures}
    return None if any(map(isnan, found.values())) else found


def clearness(pair: Pair) -> float:
    """How clearly both networks decide: the smaller of the two margins."""
    return min(one.margin for one in pair)


def of_different_classes(pairs: Iterable[Pair], count: int) -> list[Pair]:
    """The first `count` pairs whose pictures and classes all differ, and if they are too few, of
    any class."""
    pairs = list(pairs)
    first = {pair[0].label: pair for pair in reversed(pairs)}
    chosen = [pair for pair in pairs if first[pair[0].label] is pair]
    return list(dict.fromkeys(chain(chosen, pairs)))[:count]
