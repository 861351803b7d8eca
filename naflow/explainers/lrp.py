"""Layer-wise relevance propagation, for all layers from one forward and one reverse pass.

The initial relevance at the output (marks: [P] paper, [C] authors' code, [A] assumed here):

    classes       1 at the explained class and the values of `contrast` at the others. To scale it
                  by one number per image scales the maps by the same number; the logit as scale
                  (Bach et al. 2015) would flip all signs where it is negative
    segmentation  the same at every pixel of the set [A]
    embeddings    the similarity is treated as a last linear layer: its terms c_k (v_k u_k / |v||u|
                  for a cosine, v_k dS/dv_k in general) over sum_k |c_k|; `others`, other
                  references, take the place of the other classes [A]
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from naflow.errors import BadInput
from naflow.explainers.cam import CAM
from naflow.explainers.propagation import Relevance, refuse_opaque
from naflow.explainers.rules import Rules
from naflow.flow import Flow
from naflow.outputs import output_tensor
from naflow.reverse.descent import Layer
from naflow.reverse.record import Record, check_score, explained_run
from naflow.run.run import Inputs, run
from naflow.scores import ChannelContribution, ClassLogit, PixelSet, Score, Similarity, asked

#: If conservation differs from 1 by more than this, the maps mean nothing: the propagation created
#: 1.5 times as much relevance as it began with.
BROKEN = 1.5


class NotConserved(UserWarning):
    """Relevance is created on its way down, so the maps below that layer mean nothing. See
    `RelevanceFlow.conservation`, which also shows lost relevance; that is not warned about."""


@dataclass(frozen=True, repr=False)
class RelevanceFlow(Flow):
    """A flow of relevance; `importance`, with keep=("importance",), is the relevance R itself.

    conservation  layer -> (B,) float32, 1 + (sum R - sum R_start) / sum |R_start|: 1 if relevance
                  is conserved down to this layer; sum R / sum R_start if R_start >= 0
    """

    conservation: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class RelevanceRecord(Record):
    """A recorded run whose importance is relevance; start: the initial relevance at the output."""

    start: Tensor = field(kw_only=True)

    def descend(self) -> Iterator[Layer]:
        """As `Record.descend`. Raises BadInput if the relevance cancels before the deepest layer,
        where only rounding errors arrive."""
        layers = super().descend()
        deepest = next(layers)
        least = 100 * torch.finfo(self.start.dtype).eps * _sum(self.start.abs())
        nothing = (_sum(deepest.importance.abs()) <= least).nonzero()[:, 0].tolist()
        if nothing:
            raise BadInput(
                f"The relevance of images {nothing} cancels before '{deepest.name}', the last "
                "feature map, so there is nothing to draw. Explain another score."
            )
        yield deepest
        yield from layers


class LRP(CAM):
    """Raw signed maps sum_k R_k: Bach et al., PLoS ONE 2015. A call returns a RelevanceFlow.

    rules   the rule of every layer, see Rules
    others  embeddings (M, D) or (M, C, H, W) of other references (other classes' support images,
            other gallery images), for a score that compares with a reference

    Raises BadInput if the initial relevance is 0, or none arrives at the deepest layer. Warns, with
    NotConserved, if the propagation creates much relevance.
    """

    name = "LRP"
    signed = True

    def __init__(
        self,
        model: nn.Module,
        *,
        rules: Rules | None = None,
        others: Tensor | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if not isinstance(rules, (Rules, type(None))):
            raise BadInput(f"rules={rules!r}: give Rules, as in rules=Rules(conv='epsilon').")
        if not isinstance(others, (Tensor, type(None))):
            raise BadInput(f"others is a {type(others).__name__}: give a tensor of embeddings.")
        self.rules = Rules() if rules is None else rules
        self.others = others

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return g.sum(1)

    def contrast(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the initial relevance, (B, N, ...), like the logits. target is 1 at the explained
        class and 0 at the others. Here the target itself: the other classes have no relevance."""
        return target

    def terms(self, contributions: Tensor) -> Tensor:
        """Return the terms (B, N, D) of similarities, each over the sum of their magnitudes."""
        return _of_total(contributions, contributions.abs())

    def rules_for(self, score: Score) -> Rules:
        """Return the rules of a call; a subclass may choose them by the score."""
        return self.rules

    def recorded(
        self, images: Tensor, score: Score | None, inputs: Inputs, detail: bool | Sequence[str]
    ) -> RelevanceRecord:
        question = asked(score)
        relevance = Relevance(self.rules_for(question))
        ran = run(self.model, images, inputs, relevance)
        relevance.settle()
        with torch.enable_grad():
            value = question(ran.output)
            check_score(value, ran)
            z = output_tensor(ran.output)
            refuse_opaque(ran, z)
            start = self._start(question, value, z).detach()
            self._check_start(start)
            value = _Start.apply(z, value.detach(), start)
        found = explained_run(ran, value, question, self.last, detail)
        return RelevanceRecord(**vars(found), start=start)

    def explain(
        self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]
    ) -> RelevanceFlow:
        assert isinstance(record, RelevanceRecord)
        flow = super().explain(record, layers, ("importance",))
        sums = {name: _sum(r) for name, r in flow.importance.items()}
        start, size = _sum(record.start), _sum(record.start.abs())
        kept: dict[str, Any] = vars(flow) | {
            "importance": flow.importance if "importance" in keep else {}
        }
        conservation = {name: (1 + (r - start) / size).float() for name, r in sums.items()}
        self._warn_if_broken(conservation, record.chain.layers(()))
        return RelevanceFlow(**kept, conservation=conservation)

    def _warn_if_broken(self, conservation: dict[str, Tensor], whole: Iterable[str]) -> None:
        """Warn of the deepest layer where relevance is no longer conserved, among the layers
        `whole`, through which all relevance passes."""
        layers = [name for name in whole if name in conservation][::-1]
        if not layers:
            return
        kept = torch.stack([conservation[name] for name in layers])  # one transfer to the CPU
        worst = kept.gather(1, (kept - 1).abs().argmax(1, keepdim=True))[:, 0].tolist()
        for layer, arrives in zip(layers, worst, strict=True):
            if abs(arrives - 1) > BROKEN:
                warnings.warn(
                    f"{self.name} does not conserve relevance in this model: where 1 started, "
                    f"{arrives:.2g} arrives at layer '{layer}', so the maps from there on to the "
                    "images mean nothing. Explain it with a method that needs no relevance, such "
                    "as NAFlow or HiResCAM.",
                    NotConserved,
                    stacklevel=4,
                )
                return

    def _start(self, score: Score, value: Tensor, z: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(value.sum(), z, retain_graph=True, allow_unused=True)
        if slope is None:
            raise BadInput("The score does not depend on the output's tensor: nothing to explain.")
        z = z.detach()
        if z.ndim == 1:
            return self._start_at(score, z[:, None], slope[:, None])[:, 0]
        return self._start_at(score, z, slope)

    def _start_at(self, score: Score, z: Tensor, slope: Tensor) -> Tensor:
        """Return the initial relevance at the output z (B, N, ...). slope: dS/dz, like z."""
        if isinstance(score, (ClassLogit, PixelSet)):
            if self.others is not None:
                raise BadInput("others= is for similarities: a classifier has its other classes.")
            # 1 at explained pixels, or -1 if the score is the negated logit.
            pixels = slope.sum(1, keepdim=True)
            index = slope.flatten(2).sum(2) if slope.ndim > 2 else slope
            target = torch.zeros_like(z)
            target[torch.arange(len(z)), index.abs().argmax(1)] = 1
            return self.contrast(z, target) * pixels
        terms = [_contributions(score, z, slope)]
        terms += [_contributions(s, z, None) for s in _other_scores(score, self.others)]
        contributions = torch.stack(terms, 1).flatten(2)
        logits = contributions.sum(2)
        target = torch.zeros_like(logits)
        target[:, 0] = 1
        weights = self.contrast(logits, target)
        return (weights[:, :, None] * self.terms(contributions)).sum(1).view_as(z)

    def _check_start(self, start: Tensor) -> None:
        nothing = (start == 0).reshape(len(start), -1).all(1).nonzero()[:, 0].tolist()
        if nothing:
            raise BadInput(
                f"{self.name}: no relevance starts at the output for images {nothing}, as nothing "
                "there speaks for the score or against it. Explain another score."
            )


class _Start(torch.autograd.Function):
    """The score (B,) as a function of the output z, with the initial relevance as its gradient."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, start: Tensor) -> Tensor:
        ctx.save_for_backward(start)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        (start,) = ctx.saved_tensors
        return start * gradient[0].view(-1, *[1] * (start.ndim - 1)), None, None


def _contributions(score: Score, z: Tensor, slope: Tensor | None) -> Tensor:
    """Return the contribution of every entry of the embedding z (B, ...) to the score, like z.
    slope: dS/dz, if known."""
    if isinstance(score, Similarity) and score.similarity != "dot":
        u = torch.as_tensor(score.reference, device=z.device).detach().to(z.dtype).expand_as(z)
        if score.similarity == "euclidean":
            return -(z - u).square()
        norms = z.flatten(1).norm(dim=1) * u.flatten(1).norm(dim=1)
        return z * u / norms.view(-1, *[1] * (z.ndim - 1))
    if slope is None:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(score(leaf).sum(), leaf)
    return z * slope


def _other_scores(score: Score, others: Tensor | None) -> list[Score]:
    if others is None:
        return []
    if not isinstance(score, (Similarity, ChannelContribution)):
        raise BadInput(
            "others= needs Similarity or ChannelContribution as score. A SimilarityContrast is "
            "contrasted already: explain it by LRP."
        )
    return [replace(score, reference=other) for other in others]


def _of_total(x: Tensor, size: Tensor) -> Tensor:
    """Return x over the sum of size along the last axis, or 0 where that sum is 0."""
    total = size.sum(-1, keepdim=True)
    return torch.where(total == 0, 0.0, x / total)


def _sum(x: Tensor) -> Tensor:
    """Return the sum (B,) over each image, in float64: sums of millions of values are compared."""
    return x.double().reshape(len(x), -1).sum(1)
