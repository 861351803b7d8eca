"""Layer-wise relevance propagation, for all layers from one forward and one reverse pass.

Where relevance starts (research marks: [P] paper, [C] authors' code, [A] assumed here):

    classes      1 at the explained class and what `contrast` says at the others. The scale of a
                 start is one number an image, and so is that of its maps; the logit as scale
                 (Bach et al. 2015) would flip every sign where it is negative
    segmentation the same at every pixel of the set [A]
    embeddings   the similarity is read as a last linear layer: its terms c_k (v_k u_k / |v||u| for
                 a cosine, v_k dS/dv_k in general) over sum_k |c_k|; `others`, other references,
                 take the part of the other classes [A]
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
from naflow.reverse.descent import Layer
from naflow.reverse.record import Record, check_score, explained_run
from naflow.run.run import Inputs, run
from naflow.scores import (
    ChannelContribution,
    ClassLogit,
    PixelSet,
    Score,
    Similarity,
    asked,
    output_tensor,
)

#: A deviation of conservation from 1 that leaves nothing to be read: relevance was made up, half as
#: much again as started.
BROKEN = 1.5


class NotConserved(UserWarning):
    """Relevance was made up on its way, so that maps from there on mean nothing. What is lost is
    told by `RelevanceFlow.conservation` alone."""


@dataclass(frozen=True, repr=False)
class RelevanceFlow(Flow):
    """A flow of relevance; `importance`, with keep=("importance",), is the relevance R itself.

    conservation  layer -> (B,) 1 + (sum R - sum R_start) / sum |R_start|: 1 where every bit of the
                  start has arrived; the ratio of the sums for a start that is nowhere negative
    """

    conservation: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class RelevanceRecord(Record):
    """A recorded run whose importance is relevance; start is the relevance at the output."""

    start: Tensor = field(kw_only=True)

    def descend(self) -> Iterator[Layer]:
        """As of any record. Raises BadInput where the start cancels, and rounding is all that
        arrives."""
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

    rules   which rule every layer follows, see Rules
    others  embeddings (M, D) or (M, C, H, W) of other references (other classes' support images,
            other gallery images), for a score that compares with a reference

    Raises BadInput where no relevance starts, or none arrives at the deepest layer. Warns, with
    NotConserved, where much more arrives than started.
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
        """Relevance at the start, of the logits' shape (B, N, ...); target is 1 at the explained
        class and 0 at the others. By default the target itself: the others take no part."""
        return target

    def terms(self, contributions: Tensor) -> Tensor:
        """The terms (B, N, D) of a similarity, scaled to shares of it."""
        return _of_total(contributions, contributions.abs())

    def rules_for(self, score: Score) -> Rules:
        """The rules of a call, where they depend on what is explained."""
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
        """Name the deepest layer where relevance is no longer conserved, of those that all of it
        passes through."""
        layers = [name for name in whole if name in conservation][::-1]
        if not layers:
            return
        kept = torch.stack([conservation[name] for name in layers])  # off the device at once
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
        """The relevance at the output z (B, N, ...) of a score that rises there by slope."""
        if isinstance(score, (ClassLogit, PixelSet)):
            if self.others is not None:
                raise BadInput("others= is for similarities: a classifier has its other classes.")
            pixels = slope.sum(
                1, keepdim=True
            )  # 1 where a pixel is explained (-1: against its logit)
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
    """The score (B,) as a function of the output z; its gradient there is the start's relevance."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, start: Tensor) -> Tensor:
        ctx.save_for_backward(start)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        (start,) = ctx.saved_tensors
        return start * gradient[0].view(-1, *[1] * (start.ndim - 1)), None, None


def _contributions(score: Score, z: Tensor, slope: Tensor | None) -> Tensor:
    """What every entry of the embedding z (B, ...) adds to the score; slope: dS/dz, if known."""
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
        raise BadInput("others= needs a score with a reference: Similarity, ChannelContribution.")
    return [replace(score, reference=other) for other in others]


def _of_total(x: Tensor, size: Tensor) -> Tensor:
    """X over the sum of size along the last axis, and 0 where that is 0."""
    total = size.sum(-1, keepdim=True)
    return torch.where(total == 0, 0.0, x / total)


def _sum(x: Tensor) -> Tensor:
    """(B,), in double precision: the sum of millions of relevances is compared with another."""
    return x.double().reshape(len(x), -1).sum(1)
