"""CF-CAM, coarse to fine: relevance says where in a layer, the model's own answers which channels.

    coarse   E_k = max(0, R_k - R_dual,k)                contrastive relevance, element by element
    masks    M_k = minmax(up(E_k)),   x_k = M_k x + (1 - M_k) blur(x)
    fine     a_k = max(0, p_t(x_k) - p_t(blur(x)))       p = softmax of the model's output
    map      ReLU(sum_k a_k E_k)

Source: Sun, Shi and Wang, JEIT 45(4), 2023 (not the "Cluster Filter CAM" of the same initials).
Only the abstract, the captions and the references could be read, and no code is public: the
formulas are a reconstruction, and every point at which it had to choose is an option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naflow.errors import BadInput, is_one_of, near_names
from naflow.explainers.contrastive import CLRP
from naflow.explainers.lrp import RelevanceFlow
from naflow.explainers.rules import Rules
from naflow.perturb.masked import Trial, blurred, ratio
from naflow.reverse.record import Record
from naflow.run.preserve import full_precision
from naflow.scores import ClassLogit, PixelSet, Score, output_tensor, settled, single_logit
from naflow.table import aligned

_ROUNDING = 100  # in units of the last place: a difference of two answers below it is no gain


@dataclass(frozen=True)
class Reconstruction:
    """What the abstract leaves open. "reconstructed": it, or a work that it cites, says so;
    "assumed": a choice of ours, with the alternatives.

    source    reconstructed: "R", the coarse E_k is the relevance; "RA": times the activation A_k
    scale     assumed: "minmax", how E_k becomes a mask, as in Score-CAM (a constant map shows no
              place: its channel is left out); "max": ReLU(E_k) over its largest value
    baseline  reconstructed: "blur", what a mask hides is blurred; "zero": it is 0
    blur      assumed: side and deviation of the Gaussian as shares of the image's shorter side,
              by default those of Group-CAM's code, 51 and 50 of 224 pixels
    answer    assumed: "probability", the score of the output's softmax, for ClassLogit and
              PixelSet; "score", as it is; "auto": "probability" for those two, "score" for others
    weight    assumed: "gain", max(0, answer - answer to the baseline) as in Group-CAM; "raw":
              max(0, answer); "softmax": of the differences, over the channels, as in Score-CAM
    combine   assumed: "E", the map is ReLU(sum_k a_k E_k); "EA": of a_k E_k A_k; "A": of a_k A_k,
              which brings back neurons that took no part
    fallback  assumed: a_k where no channel gains: "relevance", sum_ij |E_k|; "uniform": 1 where
              E_k is not all zero, so that the map is the coarse one; "zero": no map.
              CFCAMFlow.channels tells such images
    share     assumed: only the channels that together hold this share of sum |E| are tried, the
              largest first; 1: all that hold any, which loses nothing
    most      assumed: and at most so many of them; None: any number

    Raises BadInput for a value outside its range.
    """

    source: Literal["R", "RA"] = "R"
    scale: Literal["minmax", "max"] = "minmax"
    baseline: Literal["blur", "zero"] = "blur"
    blur: Sequence[float] = (51 / 224, 50 / 224)
    answer: Literal["auto", "probability", "score"] = "auto"
    weight: Literal["gain", "raw", "softmax"] = "gain"
    combine: Literal["E", "EA", "A"] = "E"
    fallback: Literal["relevance", "uniform", "zero"] = "relevance"
    share: float = 1.0
    most: int | None = None

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            literal = get_origin(hint) is Literal
            if literal and not is_one_of(getattr(self, name), get_args(hint)):
                options = " or ".join(repr(value) for value in get_args(hint))
                raise BadInput(f"{name}={getattr(self, name)!r}: it must be {options}.")
        pair = isinstance(self.blur, Sequence) and len(self.blur) == 2
        pair = pair and all(isinstance(one, (int, float)) for one in self.blur)
        if not pair or not (0 < self.blur[0] <= 1 and self.blur[1] > 0):
            raise BadInput(
                f"blur={self.blur!r}: give the Gaussian's side and deviation as shares of the "
                "image's side, the first at most 1."
            )
        if not isinstance(self.share, (int, float)) or not 0 < self.share <= 1:
            raise BadInput(f"share={self.share!r}: it is a share of the relevance, in (0, 1].")
        if self.most is not None and (not isinstance(self.most, int) or self.most < 1):
            raise BadInput(f"most={self.most!r}: it must be at least 1 channel, or None.")


@dataclass(frozen=True)
class ChannelScores:
    """The fine step at one layer.

    weights   (B, C) a_k; 0 for a channel that was not tried, unless the image fell back
    tried     (B, C) whether the model was asked about the channel
    mass      (B,) share of the coarse sum |E| that the tried channels hold; 0 where there is none
    fallback  (B,) whether no channel gained, so that the weights are those of the option fallback
    """

    weights: Tensor
    tried: Tensor
    mass: Tensor
    fallback: Tensor


@dataclass(frozen=True, repr=False)
class CFCAMFlow(RelevanceFlow):
    """A flow with the channels' weights; `importance`, where kept, is the signed R - R_dual.

    channels  layer -> ChannelScores
    """

    channels: dict[str, ChannelScores] = field(default_factory=dict)

    def table(self) -> str:
        """The fine step as text, one line a layer, the worst image of the batch shown."""
        rows = [("layer", "channels tried", "of the relevance", "no channel gained")]
        for layer, found in self.channels.items():
            tried = f"{int(found.tried.sum(1).max())} of {found.tried.shape[1]}"
            fell = f"in {int(found.fallback.sum())} of {len(found.fallback)} images"
            rows.append((layer, tried, f"{float(found.mass.min()):.1%}", fell))
        return aligned(rows)


class CFCAM(CLRP):
    """Coarse spatial relevance by CLRP, then channels weighted by what the model answers when only
    their place is left of the image: Sun, Shi and Wang, 2023, a reconstruction. A call returns a
    CFCAMFlow.

    variant, rules, others   of the relevance, see CLRP (assumed: variant 1, z+ with batch norms
                             fused)
    batch     images a forward pass, rounded to whole batches of those explained, at least one
    progress  called as progress(layer, done, total) with the channels tried; None: silent
    options   single choices of the reconstruction, as in share=0.95, see Reconstruction

    Cost, in forward passes an image: 3 and 1 reverse pass for the relevance and the baseline, and 1
    for every channel tried at every layer. So 515 for the last layer of ResNet-18, about 4,100 for
    all of its layers and 30,500 for those of ResNet-50: choose layers=, or a share.

    What a score reads from the model's own answer (the predicted class or pixels, the shares of
    ChannelContribution) is read once, from the whole image: all masked images answer one question.
    Raises BadInput for an unknown option, where CLRP does, and for probabilities of a score or an
    output that has none; NotFinite where a masked image's answer is NaN or infinite.
    """

    name = "CF-CAM"

    def __init__(
        self,
        model: nn.Module,
        *,
        variant: Literal[1, 2] = 1,
        rules: Rules | None = None,
        others: Tensor | None = None,
        batch: int = 32,
        progress: Callable[[str, int, int], None] | None = None,
        last: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, variant=variant, rules=rules, others=others, last=last)
        known = [option.name for option in fields(Reconstruction)]
        for name in options:
            if name not in known:
                raise BadInput(f"There is no option {name!r}.{near_names(name, known)}")
        if not isinstance(batch, int) or batch < 1:
            raise BadInput(f"batch={batch!r}: it is a number of images, 1 or more.")
        if progress is not None and not callable(progress):
            raise BadInput(f"progress={progress!r}: it is called, as progress(layer, done, total).")
        self.options = Reconstruction(**options)
        self.batch = batch
        self.progress = progress

    def explain(
        self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]
    ) -> CFCAMFlow:
        wanted = [name for name in record.layers if layers is None or name in layers]
        points = record.chain.layers(record.opened)
        activations = {name: points[name].tensor() for name in wanted}
        question, images = self._question(record.question, record.output), record.images
        coarse = super().explain(record, layers, ("importance",))
        maps, channels = {}, {}
        with full_precision(), torch.no_grad():
            trial = Trial(self.model, images, self._baseline(images), question)
            base = trial(images.new_zeros(1, *images[:, 0].shape), "the baseline")[0]
            for layer in coarse.layers:
                x, r = activations[layer], coarse.importance[layer]
                maps[layer], channels[layer] = self._fine(layer, x, r, trial, base)
        kept = coarse.importance if "importance" in keep else {}
        made: dict[str, Any] = vars(coarse) | {"maps": maps, "importance": kept}
        return CFCAMFlow(**made, channels=channels)

    def _question(self, score: Score, output: object) -> Score:
        """What every masked image is asked: the score, of probabilities if that is the answer."""
        fixed, answer = settled(score, output), self.options.answer
        classes = isinstance(score, (ClassLogit, PixelSet))
        if answer == "score" or (answer == "auto" and not classes):
            return fixed
        if not classes or single_logit(output):
            raise BadInput(
                "answer='probability' needs a ClassLogit or PixelSet and two classes or more: "
                "use answer='score'."
            )
        return lambda output: fixed(output_tensor(output).softmax(1))

    def _baseline(self, images: Tensor) -> Tensor:
        if self.options.baseline == "zero":
            return torch.zeros_like(images)
        return blurred(images, self.options.blur)

    def _fine(
        self, layer: str, x: Tensor, r: Tensor, trial: Trial, base: Tensor
    ) -> tuple[Tensor, ChannelScores]:
        """The layer's map (B, h, w) from its activation and relevance (B, C, h, w)."""
        coarse = r.relu() * x if self.options.source == "RA" else r.relu()
        order, tried, mass = self._chosen(coarse)
        answers = self._answers(layer, coarse, order[:, : int(tried.sum(1).max())], trial)
        weights = self._weights(answers, base[:, None], tried)
        none = (weights == 0).all(1)
        weights = torch.where(none[:, None], self._instead(coarse), weights)
        evidence = {"E": coarse, "EA": coarse * x, "A": x}[self.options.combine]
        found = (weights[:, :, None, None] * evidence).sum(1).relu()
        return found, ChannelScores(weights, tried, mass, none)

    def _answers(self, layer: str, coarse: Tensor, order: Tensor, trial: Trial) -> Tensor:
        """(B, C) the model's answers to the channels order (B, n); 0 at the others."""
        answers = torch.zeros_like(coarse[:, :, 0, 0])
        images = torch.arange(len(order), device=order.device)
        total, step = order.shape[1], max(1, self.batch // len(order))
        for start in range(0, total, step):
            channels = order.T[start : start + step]
            masks = self._masks(coarse[images, channels], trial.images.shape[2:])
            answers[images, channels] = trial(masks, f"masks of '{layer}'")
            if self.progress is not None:
                self.progress(layer, min(start + step, total), total)
        return answers

    def _chosen(self, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The channels of every image by their sum |E|, the largest first; which of them are tried,
        both (B, C); and the share (B,) that these hold."""
        size = coarse.abs().sum((2, 3)).double().cpu()  # on a GPU cumsum is not deterministic
        total = size.sum(1, keepdim=True)
        if self.options.scale == "minmax":
            size = size * (coarse.amax((2, 3)) != coarse.amin((2, 3))).cpu()
        ranked, order = size.sort(dim=1, descending=True, stable=True)
        within = ranked > 0
        if self.options.share < 1:
            within &= ranked.cumsum(1) - ranked < self.options.share * total
        if self.options.most is not None:
            within[:, self.options.most :] = False
        tried = torch.zeros_like(within).scatter(1, order, within)
        held = (ranked * within).sum(1) / total[:, 0].where(total[:, 0] > 0, 1.0)
        return order.to(coarse.device), tried.to(coarse.device), held.to(coarse)

    def _masks(self, coarse: Tensor, size: Sequence[int]) -> Tensor:
        """Masks (m, B, H, W) in [0, 1] from maps (m, B, h, w)."""
        up = F.interpolate(coarse, tuple(size), mode="bilinear", align_corners=False)
        if self.options.scale == "max":
            up, lowest = up.relu(), 0.0
        else:
            lowest = up.amin((2, 3), keepdim=True)
        return ratio(up - lowest, up.amax((2, 3), keepdim=True) - lowest)

    def _weights(self, answers: Tensor, base: Tensor, tried: Tensor) -> Tensor:
        if self.options.weight == "softmax":
            among = (answers - base).masked_fill(~tried, -torch.inf).softmax(1)
            return among.masked_fill(~tried, 0.0)
        if self.options.weight == "raw":
            return answers.relu() * tried
        gain, rounding = answers - base, _ROUNDING * torch.finfo(base.dtype).eps
        return gain * (tried & (gain > rounding * torch.maximum(answers.abs(), base.abs())))

    def _instead(self, coarse: Tensor) -> Tensor:
        size = coarse.abs().sum((2, 3))
        if self.options.fallback == "relevance":
            return size
        return (size * (self.options.fallback == "uniform")).sign()
