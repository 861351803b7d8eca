"""The plan of an inversion: what it will do and cost, before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from naflow.inverses import Inverse, rule_for, under
from naflow.presets import InverseConfig
from naflow.run.cut import Chain, Unit
from naflow.table import aligned


@dataclass(frozen=True)
class PlannedUnit:
    """One unit of the plan.

    layer            name of the unit's output
    unit             its kind of operation, as in "conv2d"
    rule             description of its inverse rule
    inputs, outputs  neurons per image
    memory           bytes for the batch
    forwards         cost of one solver iteration in forward passes of the model; 0 for a formula
    inverted         whether the unit is inverted
    """

    layer: str
    unit: str
    rule: str
    inputs: int
    outputs: int
    memory: int
    forwards: float
    inverted: bool


@dataclass(frozen=True)
class Plan:
    """The units of an inversion, shallow to deep; print it to read it.

    units   one PlannedUnit each
    batch   number of images
    config  the settings of the inversion
    """

    units: list[PlannedUnit]
    batch: int
    config: InverseConfig

    @property
    def memory(self) -> int:
        """The largest memory of one unit's inverse, in bytes, besides the recorded activations."""
        return max(unit.memory for unit in self.units)

    def iterations(self, unit: PlannedUnit) -> int:
        """Return the largest number of iterations that the unit's solve may take."""
        if unit.forwards == 0 or not unit.inverted:
            return 0
        return self.config.max_iterations or min(unit.inputs, unit.outputs)

    @property
    def forwards(self) -> float:
        """The largest cost of the inversion, in forward passes of the model."""
        return sum(unit.forwards * self.iterations(unit) for unit in self.units)

    def __str__(self) -> str:
        solves = self.forwards > 0
        heads = ["layer", "unit", "rule", "inputs x outputs", "memory"]
        heads += ["forwards", "at most"] if solves else []
        table = aligned([heads, *(self._cells(unit)[: len(heads)] for unit in self.units)])
        memory = f"{_bytes(self.memory)} for the largest unit"
        if not solves:
            return (
                f"{table}\n{self.batch} image(s): one forward and one reverse pass of the model, "
                f"nothing is solved; {memory}."
            )
        return (
            f"{table}\n{self.batch} image(s): at most {self.forwards:,.0f} forward passes and "
            f"{memory}. 'forwards' is the cost of one solver iteration; most solves stop long "
            "before 'at most'."
        )

    def _cells(self, unit: PlannedUnit) -> list[str]:
        most = self.iterations(unit)
        return [
            unit.layer,
            unit.unit,
            unit.rule,
            f"{unit.inputs:,} x {unit.outputs:,}",
            _bytes(unit.memory) if unit.inverted else "-",
            f"{unit.forwards:.3f}" if most else "-",
            f"{unit.forwards * most:,.1f}" if most else "-",
        ]


def _bytes(count: float) -> str:
    for suffix in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or suffix == "GiB":
            return f"{count:.0f} {suffix}" if suffix == "B" else f"{count:.1f} {suffix}"
        count /= 1024
    raise AssertionError("unreachable")


def plan_of(
    whole: Chain, images: Tensor, config: InverseConfig, rules: Sequence[Inverse], last: str | None
) -> Plan:
    """Return the plan of inverting a run's chain for these images.

    With merge="paper", the units are listed one by one, before merging.
    """
    chain = whole.up_to(last)
    whole.keep()
    costs = [_flops(unit) for unit in whole.units]
    everything = max(sum(costs), 1)
    units = []
    for i, unit in enumerate(chain.units):
        rule = under(rule_for(unit, rules), config) if i else None
        iterative = rule is not None and rule.iterative
        units.append(
            PlannedUnit(
                layer=unit.name,
                unit=unit.kind,
                rule=rule.describe(unit) if rule else "not inverted (reads the image)",
                inputs=unit.source.numel(),
                outputs=unit.result.numel(),
                memory=_memory(unit, iterative, config) if rule else 0,
                forwards=2 * costs[i] / everything if iterative else 0.0,
                inverted=rule is not None,
            )
        )
    return Plan(units, len(images), config)


def _flops(unit: Unit) -> int:
    """Return the floating-point operations of one pass through the unit, at least one per input."""
    least = unit.source.shape.numel()
    if unit.opaque:
        return least
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        unit(unit.source.tensor())
    return max(counter.get_total_flops(), least)


def _memory(unit: Unit, iterative: bool, config: InverseConfig) -> int:
    """Return the memory of a unit's inverse in bytes. The solver keeps five vectors of the input's
    size (ten if damped: it computes six steps ahead to scale the damping) and three of the
    output's. A local affine map keeps the unit's intermediate values twice, for J and J^T."""
    size = unit.source.dtype.itemsize
    x, y = unit.source.shape.numel(), unit.result.shape.numel()
    if not iterative:
        return x * size
    between = sum(v.shape.numel() for operation in unit.operations for v in operation.results)
    return ((10 if config.damping else 5) * x + 3 * y + 2 * between) * size
