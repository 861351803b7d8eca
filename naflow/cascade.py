"""Neuron Abandoning Attention Flow: the inversion of a CNN, unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn

from naflow.abandon import RULES
from naflow.config import InverseConfig, resolve
from naflow.errors import BadInput, NotFinite
from naflow.explainer import Explainer
from naflow.finite import not_finite
from naflow.flow import Flow, LayerStats
from naflow.inverses import ForwardUnit, Identity, Inverse, Rectifier, rule_for, under
from naflow.inverses.jacobian import UnitJacobian
from naflow.linalg import Solution, Stop
from naflow.merge import merged_as_paper
from naflow.plan import Plan, plan_of
from naflow.preserve import full_precision, preserved
from naflow.record import Record, record
from naflow.scores import ClassLogit, Score, contrasted

Progress = Callable[[str, int, int], None]


class NAFlow(Explainer):
    """Neuron Abandoning Attention Flow of a CNN.

    preset    "selective" (default), "damped", "proximal", "paper", "plain", "released", or an
              InverseConfig
    units     names of modules that follow each other, for a model torch.fx cannot trace
    last      the deepest layer of the flow; by default the last feature map of more than one pixel
    rules     inverse rules of your own, tried before the library's
    progress  called as progress(layer, done, total) after every layer; None: silent
    settings  single knobs of the preset changed, as in damping=1.0

    Source: Liao, Gao, Zhang, arXiv 2412.01202 (IEEE TPAMI 48(5), 2026). Raises BadInput for an
    unknown preset or setting.
    """

    def __init__(
        self,
        model: nn.Module,
        preset: str | InverseConfig = "selective",
        *,
        units: Sequence[str] | None = None,
        last: str | None = None,
        rules: Sequence[Inverse] = (),
        progress: Progress | None = None,
        **settings: object,
    ) -> None:
        super().__init__(model, units=units, last=last)
        self.config = resolve(preset, **settings)
        self.abandon = RULES[self.config.abandon]
        self.preset = preset if isinstance(preset, str) and not settings else "custom"
        self.rules = tuple(rules)
        self.progress = progress

    @property
    def name(self) -> str:
        return f"NAFlow ({self.preset})"

    def plan(self, images: Tensor) -> Plan:
        """What an inversion of these images would do and cost; print it. One forward pass.

        Raises as the call itself does.
        """
        with preserved(self.model), torch.no_grad():
            chain = self._chains.chain(images)
            return plan_of(chain, images, self.config, self.rules, self.last)

    def recorded(self, images: Tensor, score: Score | None, detail: bool | Sequence[str]) -> Record:
        chain, asked = self._chains.chain(images), score or ClassLogit()
        explained = contrasted(asked) if self.config.contrast else asked
        return record(chain, images, explained, self.last, detail, asked, self.abandon)

    @full_precision()
    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        """The cascade: x~^L = x^L, then x~^{l-1} = A(f_l^{-1}(x~^l)), and one map a layer.

        It uses the record up: what it has passed is freed (of merged units, at the end).
        """
        config = self.config
        if config.merge == "paper":
            if record.inner:
                raise BadInput("detail= looks into single blocks: it needs merge='never'.")
            record = merged_as_paper(record)
        if config.in_place:
            record = _overwritten(record)
        for layer in layers or ():
            record.check(layer)  # merging may have lost it
        order = [name for name in record.layers if not layers or name in layers]
        wanted = set(order)
        bpfm = record.activations[-1]
        if self.abandon is not None:  # by the paper's own rule, nothing is abandoned here
            bpfm = bpfm * (record.importance[record.names[-1]] != 0)
        found: dict[str, _Found] = {}

        def see(name: str, bpfm: Tensor, rule: str, solution: Solution | None) -> None:
            """Draw a layer's map as soon as its BPFM is there, so that the BPFM need not stay."""
            if name in wanted:
                x, alpha = record.at(name)
                seen = attention_map(alpha, bpfm, config.reduce)
                stats = _stats(bpfm, rule, solution, x, alpha)
                found[name] = _Found(
                    seen,
                    stats,
                    bpfm if "bpfm" in keep else None,
                    alpha if "importance" in keep else None,
                )

        see(record.names[-1], bpfm, "", None)
        depth, shallowest = len(record.units), _shallowest(record, wanted)
        for l in range(depth - 1, shallowest - 1, -1):  # noqa: E741 (as in the paper)
            name, unit = record.names[l], record.units[l]
            rule = self._rule(unit.module, unit.name)
            forward = ForwardUnit(
                unit.module,
                record.activations[l],
                record.activations[l + 1],
                _kept(record, l + 1, config),
            )
            solution = rule(forward, bpfm, config)
            bpfm = solution.value * (record.importance[name] != 0)
            _check_finite(bpfm, name, unit.name)
            see(name, bpfm, rule.describe(unit.module), solution)
            for inner, value in _inside(record, l, bpfm).items():
                see(inner, value, f"through {unit.name}", solution)
            record.forget(unit.name)
            del forward, solution  # nor is this held while the next unit is inverted
            if self.progress is not None:
                self.progress(name, depth - l, depth - shallowest)
        bpfms = {name: found[name].bpfm for name in order}
        importance = {name: found[name].importance for name in order}
        return Flow(
            layers=order,
            maps={name: found[name].map for name in order},
            score=record.score,
            prediction=record.prediction,
            output=record.output,
            method=self.name,
            stats={name: found[name].stats for name in order},
            importance={name: alpha for name, alpha in importance.items() if alpha is not None},
            bpfm={name: bpfm for name, bpfm in bpfms.items() if bpfm is not None},
        )

    def _rule(self, module: nn.Module, name: str) -> Inverse:
        if self.config.in_place and _OVERWRITES.matches(module):
            return _PASSES
        return under(rule_for(module, name, self.rules), self.config)


_OVERWRITES, _PASSES = Rectifier(), Identity()


@dataclass(frozen=True)
class _Found:
    """One layer's map, how it was found, and what of it is to be kept."""

    map: Tensor
    stats: LayerStats
    bpfm: Tensor | None
    importance: Tensor | None


def _shallowest(record: Record, wanted: set[str]) -> int:
    """The shallowest unit that must be inverted: never the first, which reads the images."""
    opened = enumerate(record.inner.get(unit.name, {}) for unit in record.units)
    inside = [position for position, maps in opened if wanted & maps.keys()]
    at = [position for position, name in enumerate(record.names) if name in wanted]
    return max(1, min([*inside, *at]))


def _inside(record: Record, l: int, bpfm: Tensor) -> dict[str, Tensor]:  # noqa: E741
    """The BPFMs inside a block: its local affine map, applied to the BPFM x~ at its input, gives
    v + J_v (x~ - x) at an inner map v; what is abandoned there is set to zero."""
    unit, x = record.units[l], record.activations[l]
    maps = record.inner.get(unit.name)
    if not maps or not isinstance(unit.module, fx.GraphModule):
        return {}
    moved = UnitJacobian(unit.module, x).inside(bpfm - x)
    return {
        name: (maps[name] + moved[node]) * (record.importance[name] != 0)
        for node, name in unit.inner.items()
    }


def attention_map(importance: Tensor, bpfm: Tensor, reduce: str) -> Tensor:
    """Eq. 2: (B, C, h, w) importance and BPFM -> (B, h, w), raw."""
    contribution = importance * bpfm
    if reduce == "positive":
        return contribution.relu().sum(1)
    return contribution.sum(1).relu()


def _overwritten(record: Record) -> Record:
    """The record that in-place activations leave: what was before one is what comes after it."""
    activations = list(record.activations)
    inside = [name for maps in record.inner.values() for name in maps]
    importance = {name: record.importance[name] for name in [*record.names[1:], *inside]}
    for l, unit in enumerate(record.units):  # noqa: E741
        if l > 0 and _OVERWRITES.matches(unit.module):
            activations[l], importance[record.names[l]] = activations[l + 1], importance[unit.name]
    return replace(record, activations=activations, importance=importance)


def _kept(record: Record, l: int, config: InverseConfig) -> Tensor | None:  # noqa: E741
    """The neurons of layer l that were not abandoned: they have some importance. Under
    `in_place`, those that the activation behind them let through."""
    if not config.in_place:
        return record.importance[record.names[l]] != 0
    if l < len(record.units) and _OVERWRITES.matches(record.units[l].module):
        return record.activations[l] != 0  # already overwritten: 0 where it was closed
    return None


def _check_finite(bpfm: Tensor, layer: str, above: str) -> None:
    if wrong := not_finite(bpfm):
        raise NotFinite(
            f"The inverse of layer '{above}' gave NaN or infinite values at '{layer}' for images "
            f"{wrong}: its inverse is too ill-conditioned. Use more damping, as in damping=1.0, or "
            "explain the other images without these."
        )


def _stats(
    bpfm: Tensor, rule: str, solution: Solution | None, x: Tensor, importance: Tensor
) -> LayerStats:
    """No solution: the deepest layer, where x~ = x."""
    batch = len(x)
    size = x.flatten(1).norm(dim=1)
    ratio = torch.where(size > 0, bpfm.flatten(1).norm(dim=1) / size, 0.0)
    abandoned = (importance == 0).flatten(1).double().mean(1)
    if solution is None:
        none = torch.zeros(batch)
        iterations, residual, codes = none.long(), none, [int(Stop.CLOSED_FORM)] * batch
    else:
        iterations, residual = solution.iterations.cpu(), solution.residual.cpu()
        codes = solution.stop.tolist()
    return LayerStats(
        rule=rule,
        iterations=iterations,
        residual=residual,
        stop=[Stop(code) for code in codes],
        norm_ratio=ratio.cpu(),
        abandoned=abandoned.cpu(),
    )
