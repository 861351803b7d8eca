"""The grouping of units that the authors' code makes (the paper's Condition 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from naflow.inverses import Conv
from naflow.reverse.descent import Layer
from naflow.run.cut import Unit


@dataclass
class _Group:
    """The units from start to end, both included, of the chain: they are inverted as one."""

    start: int
    end: int
    convolution: bool  # a single convolution: merging may stop here


def merged_as_paper(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers, deep to shallow, with units merged until outputs >= inputs.

    A convolution with fewer outputs than inputs is merged with the units before it, back to the
    nearest earlier convolution with strictly fewer inputs than these outputs, never back to the
    first unit. The layers in between get no maps. If there is no such convolution, nothing before
    this one can be inverted, and its output is the shallowest layer of the flow.
    """
    points = list(reversed(layers))  # the images first
    units = [point.unit for point in points[1:] if point.unit is not None]
    groups: list[_Group] = []
    for i, unit in enumerate(units):
        convolution = unit.kind in Conv.families
        inputs, outputs = unit.source.numel(), unit.result.numel()
        if not convolution or not groups or outputs >= inputs:
            groups.append(_Group(i, i, convolution))
            continue
        while len(groups) > 1:
            group = groups.pop()
            if group.convolution and outputs > units[group.start].source.numel():
                groups.append(_Group(group.start, i, False))
                break
    return _regrouped(points, units, groups)


def _regrouped(points: list[Layer], units: list[Unit], groups: list[_Group]) -> list[Layer]:
    """Return the layers, deep to shallow, with one unit per group. Everything before the second
    group becomes one unit, which is never inverted."""
    shallowest = groups[1].start if len(groups) > 1 else len(units)
    groups = [_Group(0, shallowest - 1, False), *groups[1:]]
    regrouped = [points[0]]
    for group in groups:
        merged = _merged(units[group.start : group.end + 1])
        regrouped.append(replace(points[group.end + 1], unit=merged))
    return regrouped[::-1]


def _merged(units: list[Unit]) -> Unit:
    operations = chain.from_iterable(unit.operations for unit in units)
    return replace(units[-1], source=units[0].source, operations=tuple(operations), inner={})
