"""CF-CAM, coarse to fine: relevance says where in a layer, scores of masked images which channels.

    coarse   E_k = max(0, R_k - R_dual,k)                contrastive relevance, element by element
    masks    M_k = minmax(up(E_k)),   x_k = M_k x + (1 - M_k) blur(x)
    fine     a_k = max(0, p_t(x_k) - p_t(blur(x)))       p = softmax of the model's output
    map      ReLU(sum_k a_k E_k)

Source: Sun, Shi and Wang, JEIT 45(4), 2023 (not the "Cluster Filter CAM" of the same initials).
Only the abstract, the captions and the references were available to us, and no code is public. So
the formulas are a reconstruction, and every choice that it had to make is an option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naflow.errors import BadInput, is_one_of, near_names
from naflow.explainer import check_progress
from naflow.explainers.contrastive import CLRP
from naflow.explainers.lrp import RelevanceFlow
from naflow.explainers.rules import Rules
from naflow.outputs import output_tensor, single_logit
from naflow.perturb.masked import Trial, blurred, ratio
from naflow.reverse.record import Record
from naflow.run.preserve import full_precision
from naflow.scores import ClassLogit, PixelSet, Score, settled
from naflow.table import aligned

_ROUNDING = 100  # in units of the last place: a smaller difference of two scores is no gain


@dataclass(frozen=True)
class Reconstruction:
    """The choices that the abstract leaves open, as options of CFCAM. "reconstructed" marks what
    the abstract or a work that it cites says, "assumed" a choice of ours.

    source    reconstructed: "R", the coarse map E_k is the relevance; "RA": relevance times the
              activation A_k
    scale     assumed: how E_k becomes a mask. "minmax": as in Score-CAM (a channel whose map is
              constant is left out); "max": ReLU(E_k) over its maximum
    baseline  reconstructed: "blur", the hidden part of the image is blurred; "zero": it is 0
    blur      assumed: side and standard deviation of the Gaussian as shares of the image's shorter
              side, by default those of Group-CAM's code, 51 and 50 of 224 pixels
    answer    assumed: what is read of a masked image. "probability": the score of the output's
              softmax, for ClassLogit and PixelSet; "score": the score itself; "auto":
              "probability" for these two, "score" for others
    weight    assumed: a_k from the answers. "gain": max(0, answer - answer of the baseline), as in
              Group-CAM; "raw": max(0, answer); "softmax": of the differences, over the channels, as
              in Score-CAM
    combine   assumed: "E", the map is ReLU(sum_k a_k E_k); "EA": with a_k E_k A_k; "A": with a_k
              A_k, which also shows neurons without relevance
    fallback  assumed: a_k if no channel gains. "relevance": sum_ij |E_k|; "uniform": 1 where E_k is
              not all zero, so that the map is the coarse one; "zero": the map is 0.
              CFCAMFlow.channels says for which images
    share     assumed: try only the channels, largest first, that together hold this share of
              sum |E|; 1: every channel that holds any
    most      assumed: try at most so many channels; None: no limit

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

    weights   (B, C) a_k; 0 for a channel that was not tried, unless `fallback` is True
    tried     (B, C) whether the channel's masked image was scored
    mass      (B,) share of the coarse sum |E| that the tried channels hold; 0 if the sum is 0
    fallback  (B,) whether no channel gained, so that the option `fallback` gives the weights
    """

    weights: Tensor
    tried: Tensor
    mass: Tensor
    fallback: Tensor


@dataclass(frozen=True, repr=False)
class CFCAMFlow(RelevanceFlow):
    """A flow with the channels' weights; `importance`, if kept, is the signed R - R_dual.

    channels  layer -> ChannelScores
    """

    channels: dict[str, ChannelScores] = field(default_factory=dict)

    def table(self) -> str:
        """Return the fine step as text, one line per layer, for the worst image of the batch."""
        rows = [("layer", "channels tried", "of the relevance", "no channel gained")]
        for layer, found in self.channels.items():
            tried = f"{int(found.tried.sum(1).max())} of {found.tried.shape[1]}"
            fell = f"in {int(found.fallback.sum())} of {len(found.fallback)} images"
            rows.append((layer, tried, f"{float(found.mass.min()):.1%}", fell))
        return aligned(rows)


class CFCAM(CLRP):
    """Coarse maps by CLRP, then channels weighted by the scores of the images that they mask: Sun,
    Shi and Wang, 2023, a reconstruction. A call returns a CFCAMFlow.

    variant, rules, others   of the relevance, see CLRP (assumed: variant 1, z+ with batch norms
                             fused)
    batch     images per forward pass, rounded to a multiple of the images explained, at least one
    progress  called as progress(layer, done, total) with the channels tried
    options   single choices of the reconstruction, as in share=0.95, see Reconstruction

    Cost per image: 3 forward passes and 1 reverse pass for the relevance and the baseline, and 1
    forward pass for every channel tried at every layer. That is 515 forward passes for the last
    layer of ResNet-18, about 4,100 for all its layers and 30,500 for those of ResNet-50: choose
    layers=, or a share.

    What a score reads from the model's output (predicted class or pixels, the weights of
    ChannelContribution) is read once, from the whole image, and kept for all masked images. Raises
    BadInput for an unknown option, as CLRP does, and for answer="probability" if the score or the
    output has no probabilities; NotFinite if a masked image's score is NaN or infinite.
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
        check_progress(progress)
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
        parts: dict[str, Any] = vars(coarse) | {"maps": maps, "importance": kept}
        return CFCAMFlow(**parts, channels=channels)

    def _question(self, score: Score, output: object) -> Score:
        """Return the score of masked images: fixed, and of probabilities if the option says so."""
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
        """Return the layer's map (B, h, w) from its activation and relevance (B, C, h, w)."""
        coarse = r.relu() * x if self.options.source == "RA" else r.relu()
        order, tried, mass = self._chosen(coarse)
        answers = self._answers(layer, coarse, order[:, : int(tried.sum(1).max())], trial)
        weights = self._weights(answers, base[:, None], tried)
        none = (weights == 0).all(1)
        weights = torch.where(none[:, None], self._instead(coarse), weights)
        evidence = {"E": coarse, "EA": coarse * x, "A": x}[self.options.combine]
        maps = (weights[:, :, None, None] * evidence).sum(1).relu()
        return maps, ChannelScores(weights, tried, mass, none)

    def _answers(self, layer: str, coarse: Tensor, order: Tensor, trial: Trial) -> Tensor:
        """Return the scores (B, C) of the images masked by the channels `order` (B, n); 0 at
        channels that are not among them."""
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
        """Return the channels of every image by their sum |E|, largest first, (B, C); which
        channels are tried, boolean (B, C); and the share (B,) of the sum that these hold."""
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
        """Return masks (m, B, H, W) in [0, 1] from maps (m, B, h, w)."""
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
