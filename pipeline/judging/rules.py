"""By which rule a figure's pictures are found among what the networks decided."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from pipeline.explanations.cases import in_turn
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection
from pipeline.pictures.images import Folder
from pipeline.pictures.outline import intricacy

Decisions = Mapping[str, Sequence[Decision]]  # model -> what it decided


class Rule(Protocol):
    """Finds pictures for a figure of `model`."""

    def __call__(
        self, figure: str, model: str, decisions: Decisions, images: Folder
    ) -> Selection: ...


@dataclass(frozen=True)
class Correct:
    """The first pictures decided rightly, the classes in turn.

    named  name of an image set -> the classes that the figure's text names there; only those are
           shown, in that order
    """

    pictures: int
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __call__(self, figure: str, model: str, decisions: Decisions, images: Folder) -> Selection:
        asked = list(self.named.get(images.name, ()))
        of_named = [one for one in decisions[model] if not asked or one.label in asked]
        right = [one for one in of_named if one.right]
        nearest = sorted(decisions[model], key=lambda one: (not one.right, one.margin))
        chosen = in_turn(right or nearest, asked)[: self.pictures]
        classes = f" of the classes {', '.join(asked)}" if asked else ""
        counts = {"decided": len(decisions[model])}
        if asked:
            counts |= {"of the named classes": len(of_named)}
        return Selection(
            figure,
            model,
            f"the first pictures{classes} that {model} decides rightly, the classes in turn",
            len(right) >= self.pictures,
            tuple(Chosen(one, "right" if one.right else "wrong") for one in chosen),
            counts | {"right": len(right)},
        )


@dataclass(frozen=True)
class Disagreement:
    """Pictures that the model `wrong` gets wrong and the model `right` right; the same for both.

    both      so many further pictures that both get right come first: the simplest objects. The
              objects of the others are then the most intricate (pipeline.pictures.outline); with
              none, the others are those decided most clearly, whose smaller margin is the largest
    pictures  how many are disagreed on, of different classes
    """

    wrong: str
    right: str
    pictures: int
    both: int = 0

    def __call__(self, figure: str, model: str, decisions: Decisions, images: Folder) -> Selection:
        told = {one.trial: one for one in decisions[model]}
        of_right = {one.trial: one for one in decisions[self.right]}
        pairs = [
            (one, of_right[one.trial]) for one in decisions[self.wrong] if one.trial in of_right
        ]
        agreed = [pair for pair in pairs if pair[0].right and pair[1].right]
        differing = [pair for pair in pairs if not pair[0].right and pair[1].right]
        nearest = sorted((p for p in pairs if p[1].right), key=lambda p: p[0].margin)

        def clear(pair: tuple[Decision, Decision]) -> float:
            return -min(one.margin for one in pair)

        def plain(pair: tuple[Decision, Decision]) -> float:
            return intricacy(images.of_id(pair[0].picture))

        simple = sorted(agreed, key=plain)[: self.both] if self.both else []
        ranked = sorted(differing, key=(lambda pair: -plain(pair)) if self.both else clear)
        shown = of_different_classes(ranked or nearest, self.pictures)
        chosen = [Chosen(told[pair[0].trial], "right in both") for pair in simple]
        why = f"wrong in {self.wrong}, right in {self.right}"
        nearly = f"all but wrong in {self.wrong}, right in {self.right}"
        chosen += [Chosen(told[pair[0].trial], why if differing else nearly) for pair in shown]
        order = "most intricate outlines" if self.both else "clearest margins"
        return Selection(
            figure,
            model,
            ("the simplest outline that both decide rightly, then " if self.both else "")
            + f"the {order} among those that {self.wrong} decides wrongly and {self.right} rightly",
            len(simple) == self.both and len(differing) >= self.pictures,
            tuple(chosen),
            {"decided by both": len(pairs), "right in both": len(agreed), why: len(differing)},
        )


def of_different_classes(
    pairs: Iterable[tuple[Decision, Decision]], count: int
) -> list[tuple[Decision, Decision]]:
    """The first `count` pairs whose pictures and classes all differ, and if they are too few, of
    any class."""
    pairs = list(pairs)
    first = {pair[0].label: pair for pair in reversed(pairs)}
    chosen = [pair for pair in pairs if first[pair[0].label] is pair]
    return list(dict.fromkeys(chain(chosen, pairs)))[:count]
