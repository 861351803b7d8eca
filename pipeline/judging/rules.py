"""Rules that select a figure's pictures from the networks' decisions."""

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

MANY = 6  # classes: more are not listed one by one

Decisions = Mapping[str, Sequence[Decision]]  # model -> its decisions
Pair = tuple[Decision, Decision]  # two networks' decisions of the same trial


class Rule(Protocol):
    """Selects pictures for a figure of `model`."""

    def __call__(
        self, figure: str, model: str, decisions: Decisions, images: Folder
    ) -> Selection: ...


@dataclass(frozen=True)
class Named:
    """The classes that a figure's text names: name of an image set -> patterns of class names, as
    in {cub: ["*Myrtle_Warbler"]}. An image set without patterns allows every class."""

    of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def words(self, images: Folder) -> str:
        """Return the classes as text, as in " of the classes a, b"; "" for any. If there are more
        than MANY: their number, the first and the last."""
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
    """Selects the first correctly classified pictures of the named classes, the classes in turn."""

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
    """Selects pictures that the model `wrong` gets wrong and the model `right` gets right.

    both        number of pictures, shown first, that both get right
    pictures    number of pictures on which they disagree, of different classes
    named       the classes of the pictures on which they disagree (see Named)
    named_both  the classes of the pictures that both get right

    With `both` and masks of all candidates, those that both get right have the simplest outlines,
    the others the most intricate (pipeline.pictures.outline). Else the larger `clearness` decides.
    If they disagree on no picture of the named classes, any class is taken; if on none at all, the
    pictures that `right` gets right and `wrong` decides with the smallest margins.
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
        """Return the rule that was applied, as text."""
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
    """Return picture -> intricacy of its object's outline; None if a picture has no mask."""
    asked = {pair[0].picture for pair in pairs}
    pictures = [one for one in images.pictures if one.id in asked]
    if any(one.mask is None for one in pictures or images.pictures):
        return None
    found = {one.id: intricacy(one) for one in pictures}
    return None if any(map(isnan, found.values())) else found


def clearness(pair: Pair) -> float:
    """Return the smaller of the two networks' margins."""
    return min(one.margin for one in pair)


def of_different_classes(pairs: Iterable[Pair], count: int) -> list[Pair]:
    """Return the first `count` pairs of distinct pictures and classes, and if they are too few,
    further pairs of any class."""
    pairs = list(pairs)
    first = {pair[0].label: pair for pair in reversed(pairs)}
    chosen = [pair for pair in pairs if first[pair[0].label] is pair]
    return list(dict.fromkeys(chain(chosen, pairs)))[:count]
