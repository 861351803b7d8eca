"""Neuron Abandoning Attention Flow: the inversion of a CNN, unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from naflow.config import InverseConfig, resolve
from naflow.errors import NotFinite
from naflow.explainer import Explainer
from naflow.flow import Flow, LayerStats
from naflow.inverses import ForwardUnit, Identity, Inverse, Rectifier, rule_for
from naflow.linalg import Solution, Stop
from naflow.merge import merged_as_paper
from naflow.plan import Plan, plan_of
from naflow.preserve import full_precision, preserved
from naflow.record import Record

Progress = Callable[[str, int, int], None]


class NAFlow(Explainer):
    """Neuron Abandoning Attention Flow of a CNN.

    preset    "damped" (default), "proximal", "paper", "plain", "released", or an InverseConfig
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
        preset: str | InverseConfig = "damped",
        *,
        units: Sequence[str] | None = None,
        last: str | None = None,
        rules: Sequence[Inverse] = (),
        progress: Progress | None = None,
        **settings: object,
    ) -> None:
        super().__init__(model, units=units, last=last)
        self.config = resolve(preset, **settings)
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

    @full_precision()
    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        """The cascade: x~^L = x^L, then x~^{l-1} = A(f_l^{-1}(x~^l)), and one map a layer."""
        config = self.config
        wanted = set(layers or record.layers)
        if config.merge == "paper":
            record = merged_as_paper(record)
        if config.in_place:
            record = _overwritten(record)
        bpfm = record.activations[-1]
        found = {record.names[-1]: bpfm}
        solved: dict[str, tuple[str, Solution | None]] = {record.names[-1]: ("", None)}
        shallowest = min((record.names.index(n) for n in wanted if n in record.names), default=1)
        for l in range(len(record.units) - 1, shallowest - 1, -1):  # noqa: E741 (as in the paper)
            name, module = record.names[l], record.units[l].module
            rule = self._rule(module, record.names[l + 1])
            unit = ForwardUnit(
                module,
                record.activations[l],
                record.activations[l + 1],
                _kept(record, l + 1, config),
            )
            solution = rule(unit, bpfm, config)
            bpfm = solution.value * (record.importance[l] != 0)
            _check_finite(bpfm, name, record.names[l + 1])
            if name in record.layers:
                found[name] = bpfm
                solved[name] = (rule.describe(module), solution)
            if self.progress is not None:
                self.progress(name, len(record.units) - l, len(record.units) - shallowest)
        order = [name for name in record.layers if name in found and name in wanted]
        importance = dict(zip(record.names, record.importance, strict=True))
        activation = dict(zip(record.names, record.activations, strict=True))
        return Flow(
            layers=order,
            maps={n: attention_map(importance[n], found[n], config.reduce) for n in order},
            score=record.score,
            prediction=record.prediction,
            output=record.output,
            method=self.name,
            stats={n: _stats(*solved[n], found[n], activation[n], importance[n]) for n in order},
            importance={n: importance[n] for n in order} if "importance" in keep else {},
            bpfm={n: found[n] for n in order} if "bpfm" in keep else {},
        )

    def _rule(self, module: nn.Module, name: str) -> Inverse:
        if self.config.in_place and _OVERWRITES.matches(module):
            return _PASSES
        return rule_for(module, name, self.rules)


_OVERWRITES, _PASSES = Rectifier(), Identity()


def attention_map(importance: Tensor, bpfm: Tensor, reduce: str) -> Tensor:
    """Eq. 2: (B, C, h, w) importance and BPFM -> (B, h, w), raw."""
    contribution = importance * bpfm
    if reduce == "positive":
        return contribution.relu().sum(1)
    return contribution.sum(1).relu()


def _overwritten(record: Record) -> Record:
    """The record that in-place activations leave: what was before one is what comes after it."""
    activations, importance = list(record.activations), list(record.importance)
    for l, unit in enumerate(record.units):  # noqa: E741
        if l > 0 and _OVERWRITES.matches(unit.module):
            activations[l], importance[l] = activations[l + 1], importance[l + 1]
    return replace(record, activations=activations, importance=importance)


def _kept(record: Record, l: int, config: InverseConfig) -> Tensor | None:  # noqa: E741
    """The neurons of layer l that were not abandoned: they have some importance. Under
    `in_place`, those that the activation behind them let through."""
    if not config.in_place:
        return record.importance[l] != 0
    if l < len(record.units) and _OVERWRITES.matches(record.units[l].module):
        return record.activations[l] != 0  # already overwritten: 0 where it was closed
    return None


def _check_finite(bpfm: Tensor, layer: str, above: str) -> None:
    if not bool(bpfm.isfinite().all()):
        wrong = (~bpfm.isfinite()).flatten(1).any(1).nonzero()[:, 0].tolist()
        raise NotFinite(
            f"The inverse of layer '{above}' gave NaN or infinite values at '{layer}' for images "
            f"{wrong}: its inverse is too ill-conditioned. Use more damping, as in damping=1.0, or "
            "explain the other images without these."
        )


def _stats(
    rule: str, solution: Solution | None, bpfm: Tensor, x: Tensor, importance: Tensor
) -> LayerStats:
    batch = len(bpfm)
    size = x.flatten(1).norm(dim=1)
    ratio = torch.where(size > 0, bpfm.flatten(1).norm(dim=1) / size, 0.0)
    abandoned = (importance == 0).flatten(1).double().mean(1)
    if solution is None:  # the deepest layer: x~ is x
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
