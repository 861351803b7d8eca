"""Neuron Abandoning Attention Flow: the inversion of a CNN, unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from naflow.cascade.merge import merged_as_paper
from naflow.cascade.plan import Plan, plan_of
from naflow.errors import BadInput, NotFinite
from naflow.explainer import Explainer, check_progress
from naflow.finite import not_finite
from naflow.flow import Flow, LayerStats
from naflow.inverses import Anchored, ForwardUnit, Identity, Inverse, Rectifier, rule_for, under
from naflow.inverses.jacobian import UnitJacobian
from naflow.linalg import Solution, Stop
from naflow.presets import InverseConfig, resolve
from naflow.reverse.abandon import RULES, used
from naflow.reverse.descent import Layer
from naflow.reverse.record import Record, record
from naflow.run.attention import refuse_transformer
from naflow.run.cut import Unit, cut, known_layer
from naflow.run.preserve import full_precision, preserved
from naflow.run.run import Inputs, run
from naflow.scores import Score, asked, contrasted

Progress = Callable[[str, int, int], None]


class NAFlow(Explainer):
    """Neuron Abandoning Attention Flow of a CNN.

    preset    "selective" (default), "tested", "damped", "proximal", "paper", "plain", "released",
              or an InverseConfig
    rules     your own inverse rules, tried before the library's
    progress  called as progress(layer, done, total) after every layer
    last      the deepest layer of the flow; by default the last feature map of more than one pixel
    settings  single settings of the preset, changed, as in damping=1.0; see InverseConfig

    Source: Liao, Gao, Zhang, arXiv 2412.01202 (IEEE TPAMI 48(5), 2026). Raises BadInput for an
    unknown preset or setting.
    """

    def __init__(
        self,
        model: nn.Module,
        preset: str | InverseConfig = "selective",
        *,
        rules: Sequence[Inverse] = (),
        progress: Progress | None = None,
        last: str | None = None,
        **settings: object,
    ) -> None:
        super().__init__(model, last=last)
        if not isinstance(rules, Sequence) or not all(isinstance(one, Inverse) for one in rules):
            raise BadInput(f"rules={rules!r}: give a list of naflow.inverses.Inverse.")
        check_progress(progress)
        self.config = resolve(preset, **settings)
        self.abandon = RULES[self.config.abandon]
        self.preset = preset if isinstance(preset, str) and not settings else "custom"
        self.rules = tuple(rules)
        self.progress = progress

    @property
    def name(self) -> str:
        return f"NAFlow ({self.preset})"

    def plan(self, images: Tensor, *, inputs: Inputs = ()) -> Plan:
        """Return, after one forward pass, the plan of explaining these images: every unit's inverse
        rule, size, memory and cost. Print it to read it.

        Raises as the call itself does.
        """
        with preserved(self.model):
            ran = run(self.model, images, inputs)
            whole = cut(ran, ran.ends())
            refuse_transformer(whole)
            return plan_of(whole, images, self.config, self.rules, self.last)

    def recorded(
        self, images: Tensor, score: Score | None, inputs: Inputs, detail: bool | Sequence[str]
    ) -> Record:
        question = asked(score)
        return record(
            self.model,
            images,
            contrasted(question) if self.config.contrast else question,
            inputs=inputs,
            last=self.last,
            detail=detail,
            question=question,
            abandon=self.abandon,
        )

    @full_precision()
    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        """Run the cascade: x~^L = x^L, then x~^{l-1} = A(f_l^{-1}(x~^l)), and one map per layer.

        This consumes the record: activations are freed on the way (with merged units, at the end).
        """
        points = self._points(record)
        order = record.layers
        if self.config.merge == "paper":
            points = list(points)
            order = [point.name for point in reversed(points) if point.unit and point.feature_map]
        for layer in layers or ():
            known_layer(layer, order)  # merging may have removed it
        wanted = order if layers is None else [name for name in order if name in layers]
        drawn = _Drawn(wanted, self, record, keep)
        if self.config.solves or self.rules:
            self._invert(points, drawn)
        else:
            self._attend(points, drawn)
        return drawn.flow()

    def _attend(self, points: Iterable[Layer], drawn: _Drawn) -> None:
        """Draw every layer without inverting: x~ = x, except for the abandoned neurons."""
        total = drawn.depth()
        for done, point in enumerate(points):
            if drawn.complete or point.unit is None:
                return
            for layer in point.maps:
                drawn.see_forward(layer)
            if self.progress is not None and done:
                self.progress(point.name, done, total)

    def _invert(self, points: Iterable[Layer], drawn: _Drawn) -> None:
        """Go down from layer to layer through the units' inverses, and draw every layer."""
        done, total = 0, drawn.depth()
        above, reader, bpfm = None, None, torch.empty(0)
        for point in points:
            if drawn.complete or (above is not None and point.unit is None):
                return
            mask = used(point.importance)
            if above is None or above.unit is None:
                # By the paper's own rule, nothing is abandoned at the last layer.
                bpfm = point.activation if self.abandon is None else point.activation * mask
                drawn.see(point, bpfm, mask, "", None)
            else:
                rule = self._rule(above.unit)
                solution = self._inverted(rule, above, reader, point, bpfm)
                bpfm = solution.value * mask
                _check_finite(bpfm, point.name, above.name)
                for inner, value in _inside(above.unit, point, bpfm):
                    through = f"through {above.name}"
                    drawn.see(inner, value, used(inner.importance), through, solution)
                drawn.see(point, bpfm, mask, rule.describe(above.unit), solution)
                done += 1
                if self.progress is not None:
                    self.progress(point.name, done, total)
            above, reader = point, above.unit if above is not None else None

    def _points(self, record: Record) -> Any:
        """Return the layers, deep to shallow, merged and overwritten as the configuration says."""
        points: Iterator[Layer] = record.descend()
        if self.config.merge == "paper" and record.opened:
            raise BadInput("detail= looks into single blocks: it needs merge='never'.")
        if self.config.merge != "paper" and not self.config.in_place:
            return points
        every = list(points)
        if self.config.merge == "paper":
            every = merged_as_paper(every)
        return _overwritten(every) if self.config.in_place else every

    def _inverted(
        self, rule: Inverse, above: Layer, reader: Unit | None, point: Layer, bpfm: Tensor
    ) -> Solution:
        """Invert the unit between the layer `point` and the layer `above`, whose BPFM is `bpfm`.
        reader: the unit that reads the layer `above`."""
        assert above.unit is not None
        kept = None if isinstance(rule, Anchored) else _kept(above, reader, self.config)
        forward = ForwardUnit(above.unit, point.activation, above.activation, kept)
        return rule(forward, bpfm, self.config)

    def _rule(self, unit: Unit | None) -> Inverse:
        assert unit is not None
        if self.config.in_place and _OVERWRITES.matches(unit):
            return _PASSES
        rule = rule_for(unit, self.rules)
        return rule if rule in self.rules and not rule.iterative else under(rule, self.config)


class _Drawn:
    """The maps of a flow, each drawn as soon as its BPFM is known; the BPFM can then be freed."""

    def __init__(
        self, wanted: list[str], method: NAFlow, record: Record, keep: Sequence[str]
    ) -> None:
        self.wanted, self.method, self.record, self.keep = wanted, method, record, keep
        self.maps: dict[str, Tensor] = {}
        self.stats: dict[str, LayerStats] = {}
        self.importance: dict[str, Tensor] = {}
        self.bpfm: dict[str, Tensor] = {}

    @property
    def complete(self) -> bool:
        return len(self.maps) == len(self.wanted)

    def depth(self) -> int:
        """Return how many layers the cascade has to go down."""
        units = self.record.chain.units
        deepest, wanted = len(units) - 1, set(self.wanted)
        levels = [i for i, unit in enumerate(units) if unit.name in wanted]
        levels += [i - 1 for i, unit in enumerate(units) if wanted & set(unit.inner)]
        return deepest - max(0, min(levels, default=deepest))

    def see(
        self, layer: Layer, bpfm: Tensor, mask: Tensor, rule: str, solution: Solution | None
    ) -> None:
        if layer.name not in self.wanted or layer.name in self.maps:
            return
        attention = attention_map(layer.importance, bpfm, self.method.config.reduce)
        self.record.check_finite(layer.name, attention)
        self.maps[layer.name] = attention
        self.stats[layer.name] = _stats(bpfm, rule, solution, layer.activation, mask)
        if "importance" in self.keep:
            self.importance[layer.name] = layer.importance
        if "bpfm" in self.keep:
            self.bpfm[layer.name] = bpfm

    def see_forward(self, layer: Layer) -> None:
        """Draw a layer with x~ = x, except for the abandoned neurons."""
        if layer.name not in self.wanted:
            return
        alpha, x, left = layer.importance, layer.activation, layer.left
        if left is not None:  # its evidence is the map: no kept contribution is negative
            attention, share = left.evidence, left.share
        else:
            attention = attention_map(alpha, x, self.method.config.reduce)
            share = used(alpha).flatten(1).sum(1).double() / alpha[0].numel()
        self.record.check_finite(layer.name, attention)
        self.maps[layer.name] = attention
        self.stats[layer.name] = nothing_solved(share)
        if "importance" in self.keep:
            self.importance[layer.name] = alpha
        if "bpfm" in self.keep:
            self.bpfm[layer.name] = x * used(alpha)

    def flow(self) -> Flow:
        def ordered(values: dict[str, Any]) -> dict[str, Any]:
            return {name: values[name] for name in self.wanted if name in values}

        return Flow(
            layers=self.wanted,
            maps=ordered(self.maps),
            score=self.record.score,
            prediction=self.record.prediction,
            output=self.record.output,
            method=self.method.name,
            stats=ordered(self.stats),
            importance=ordered(self.importance),
            bpfm=ordered(self.bpfm),
        )


_OVERWRITES, _PASSES = Rectifier(), Identity()


def _inside(unit: Unit | None, point: Layer, bpfm: Tensor) -> Iterator[tuple[Layer, Tensor]]:
    """Yield the BPFMs inside a block. The block's local affine map, applied to the BPFM x~ of its
    input x, gives v + J_v (x~ - x) at an inner map v; abandoned neurons are set to zero."""
    if unit is None or not point.inside:
        return
    moved = UnitJacobian(unit, point.activation).inside(bpfm - point.activation)
    for inner in point.inside:
        value = inner.activation + moved[unit.inner[inner.name]]
        yield inner, value * used(inner.importance)


def attention_map(importance: Tensor, bpfm: Tensor, reduce: str) -> Tensor:
    """Return the raw map (B, *size) from importance and BPFM, both (B, C, *size) (Eq. 2)."""
    contribution = importance * bpfm
    if reduce == "positive":
        return contribution.relu().sum(1)
    return contribution.sum(1).relu()


def _overwritten(layers: list[Layer]) -> list[Layer]:
    """Return the layers, deep to shallow, as in-place activations leave them: a layer before an
    activation holds the values after it."""
    result = layers[:1]
    for above, layer in pairwise(layers):
        if layer.unit is not None and above.unit is not None and _OVERWRITES.matches(above.unit):
            after = result[-1]
            layer = replace(layer, activation=after.activation, importance=after.importance)
        result.append(layer)
    return result


def _kept(layer: Layer, reader: Unit | None, config: InverseConfig) -> Tensor | None:
    """Return a mask of the neurons of a layer that were not abandoned: those of importance other
    than 0, or, with `in_place`, those that the activation after the layer let through."""
    if not config.in_place:
        return layer.importance != 0
    if reader is not None and _OVERWRITES.matches(reader):
        return layer.activation != 0  # overwritten: 0 where the activation let nothing through
    return None


def _check_finite(bpfm: Tensor, layer: str, above: str) -> None:
    if wrong := not_finite(bpfm):
        raise NotFinite(
            f"The inverse of layer '{above}' gave NaN or infinite values at '{layer}' for images "
            f"{wrong}: its inverse is too ill-conditioned. Use more damping, as in damping=1.0, or "
            "explain the other images without these."
        )


def nothing_solved(share: Tensor) -> LayerStats:
    """Return the statistics of a layer whose x~ is the forward activation; share: (B,), of its
    neurons that are used."""
    none = torch.zeros(len(share))
    return LayerStats(
        rule="none: the forward activation",
        iterations=none.long(),
        residual=none,
        stop=[Stop.CLOSED_FORM] * len(share),
        norm_ratio=none + 1,
        abandoned=(1 - share).cpu(),
    )


def _stats(
    bpfm: Tensor, rule: str, solution: Solution | None, x: Tensor, mask: Tensor
) -> LayerStats:
    """Return the statistics of a layer with activation x. solution: None at the deepest layer,
    where x~ = x. mask: 1 where a neuron is used, else 0."""
    batch = len(x)
    size = x.flatten(1).norm(dim=1)
    ratio = torch.where(size > 0, bpfm.flatten(1).norm(dim=1) / size, 0.0)
    abandoned = 1 - mask.flatten(1).sum(1).double() / mask[0].numel()
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
