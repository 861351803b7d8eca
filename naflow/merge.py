"""The grouping of units that the authors' code makes (the paper's Condition 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import fx, nn

from naflow.record import Record
from naflow.units import Unit


@dataclass
class _Group:
    """Units start .. end of the chain, inverted as one."""

    start: int
    end: int
    convolution: bool  # one convolution by itself: a place where merging may stop


def merged_as_paper(record: Record) -> Record:
    """The record with units merged until outputs >= inputs.

    A convolution with fewer outputs than inputs is merged backwards up to the nearest earlier
    convolution with strictly fewer inputs than these outputs, never up to the first unit. The
    layers between lose their maps. Where there is no such convolution, nothing before this one
    can be inverted, and its output is the shallowest layer of the flow.
    """
    groups: list[_Group] = []
    for i, unit in enumerate(record.units):
        convolution = isinstance(unit.module, nn.Conv2d)
        inputs, outputs = (record.activations[j][0].numel() for j in (i, i + 1))
        if not convolution or not groups or outputs >= inputs:
            groups.append(_Group(i, i, convolution))
            continue
        while len(groups) > 1:
            group = groups.pop()
            if group.convolution and outputs > record.activations[group.start][0].numel():
                groups.append(_Group(group.start, i, False))
                break
    return _regrouped(record, groups)


def _regrouped(record: Record, groups: list[_Group]) -> Record:
    """Everything before the second group is one unit that is never inverted."""
    shallowest = groups[1].start if len(groups) > 1 else len(record.units)
    groups = [_Group(0, shallowest - 1, False), *groups[1:]]
    points = [0, *(group.end + 1 for group in groups)]
    return replace(
        record,
        names=[record.names[p] for p in points],
        units=[_merged(record.units[group.start : group.end + 1]) for group in groups],
        activations=[record.activations[p] for p in points],
        importance={record.names[p]: record.importance[record.names[p]] for p in points[1:]},
    )


def _merged(units: list[Unit]) -> Unit:
    """The units as one: traced, so that its Jacobian is known node by node, where each of them is
    an operation or was traced itself; one named by hand may be what torch.fx cannot follow."""
    if len(units) == 1:
        return units[0]
    together = nn.Sequential(*(unit.module for unit in units)).train(False)
    operation = fx.Tracer().is_leaf_module
    if not all(isinstance(m, fx.GraphModule) or operation(m, "") for m in together):
        return Unit(units[-1].name, together)
    graph = _OfUnits().trace(together)
    return Unit(units[-1].name, fx.GraphModule(together, graph))


class _OfUnits(fx.Tracer):
    """Looks into the units that are graphs, and no further."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, fx.GraphModule)
