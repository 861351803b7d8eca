"""Scores: what is explained, one scalar per image, computed from the model's output.

A score is any callable from the model's output to a tensor of shape (B,). Those here check their
input and raise BadInput. Equation numbers are those of the NAFlow paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from naflow.errors import BadInput, near_names
from naflow.outputs import class_logits, output_tensor, predicted_pixels, single_logit

Score = Callable[..., Tensor]
SimilarityKind = Literal["cosine", "dot", "euclidean"]


def _out_of_range(index: int, classes: int) -> BadInput:
    return BadInput(f"Class {index} is out of range: the model has classes 0 to {classes - 1}.")


def _asked(
    output: object, index: int | Sequence[int] | Tensor | None, name: str
) -> tuple[Tensor, Tensor]:
    """Return the logits (B, classes) and the class (B,) that the score `name` explains."""
    logits = class_logits(output, name)
    batch, classes = logits.shape
    if index is None:
        return logits, logits.argmax(1)
    chosen = torch.as_tensor(index, device=logits.device)
    if chosen.is_floating_point() or chosen.ndim > 1 or chosen.numel() not in (1, batch):
        raise BadInput(
            f"Class index {index!r}: give one integer, or one for each of the {batch} images."
        )
    chosen = chosen.long().expand(batch)
    wrong = chosen[(chosen < 0) | (chosen >= classes)]
    if len(wrong):
        raise _out_of_range(int(wrong[0]), classes)
    return logits, chosen


@dataclass(frozen=True)
class ClassLogit:
    """S = the logit of a class (Eq. 1).

    index: one class for all images, one class per image, or None for the predicted class. The
    model's output is a tensor, an object or dict with `logits` or `out`, or a tuple whose first
    item is a tensor. A single logit z, (B,) or (B, 1), gives S = z for class 1, -z for class 0.

    Raises BadInput if the output holds no logits (B, classes) or an index is out of range.
    """

    index: int | Sequence[int] | Tensor | None = None

    def __call__(self, output: Tensor) -> Tensor:
        logits, index = _asked(output, self.index, "ClassLogit")
        return logits.gather(1, index[:, None])[:, 0]


def asked(score: Score | None) -> Score:
    """Return the score, or ClassLogit() for None. Raises BadInput for anything that is not
    callable, such as a bare class index."""
    if score is None:
        return ClassLogit()
    if not callable(score):
        given = f"{score!r}" if isinstance(score, int) else f"a {type(score).__name__}"
        raise BadInput(
            f"score is {given}: give one of naflow.scores, as scores.ClassLogit(3) for class 3, or "
            "a callable from the model's output to one number an image."
        )
    return score


@dataclass(frozen=True)
class ClassContrast:
    """S = z_c - sum_{k != c} w_k z_k: a class's logit, contrasted with those of the other classes.

    The weights w_k = e^{z_k} / sum_{j != c} e^{z_j} are the other classes' shares of their
    probability (detached), as in SGLRP (Iwana, Kuroki, Uchida, 2019). Evidence for all classes
    alike cancels. index: as in ClassLogit. Raises BadInput as ClassLogit does.
    """

    index: int | Sequence[int] | Tensor | None = None

    def __call__(self, output: Tensor) -> Tensor:
        logits, index = _asked(output, self.index, "ClassContrast")
        if single_logit(output):  # already contrasts its two classes
            return logits.gather(1, index[:, None])[:, 0]
        others = logits.detach().scatter(1, index[:, None], -torch.inf).softmax(1)
        return logits.gather(1, index[:, None])[:, 0] - (others * logits).sum(1)


def contrasted(score: Score) -> Score:
    """Return a score with the value of a ClassLogit and the gradient of its ClassContrast. Any
    score other than a ClassLogit is returned as it is."""
    if not isinstance(score, ClassLogit):
        return score
    contrast = ClassContrast(score.index)

    def logit(output: Tensor) -> Tensor:
        difference = contrast(output)
        return score(output).detach() + (difference - difference.detach())

    return logit


def _pair(output: object, reference: Tensor, kind: str, spatial_sum: bool) -> tuple[Tensor, Tensor]:
    """Return the embeddings of images and reference, both (B, D), or (B, C, H*W) with
    spatial_sum."""
    v = output_tensor(output, "a similarity score")
    if kind not in ("cosine", "dot", "euclidean"):
        raise BadInput(
            f"There is no similarity {kind!r}.{near_names(kind, ['cosine', 'dot', 'euclidean'])}"
        )
    u = torch.as_tensor(reference, device=v.device).detach()
    u = u[None] if u.ndim == v.ndim - 1 else u
    if u.shape[1:] != v.shape[1:] or len(u) not in (1, len(v)):
        raise BadInput(
            f"The reference has shape {tuple(torch.as_tensor(reference).shape)}, the model's "
            f"embedding of the images {tuple(v.shape)}: give one reference of shape "
            f"{tuple(v.shape[1:])}, or one an image."
        )
    u = u.to(v.dtype).expand_as(v)
    if spatial_sum and v.ndim < 3:
        raise BadInput(
            f"spatial_sum needs a feature map (B, C, ...), the model returns {tuple(v.shape)}."
        )
    first = 2 if spatial_sum else 1
    for name, vector in (("image", v), ("reference", u)):
        zero = (vector.flatten(1) == 0).all(1).nonzero()[:, 0].tolist()
        if zero:
            raise BadInput(
                f"The embedding of {name} {zero} is all zero: its similarity to anything is "
                "undefined."
            )
    return v.flatten(first), u.flatten(first)


@dataclass(frozen=True)
class ChannelContribution:
    """S = sum_k w_k v_k (Eqs 17-21): each channel of the embedding v, weighted by its share in the
    similarity to a reference u (support image, memory-bank entry, retrieved image).

    reference    u: (D,), (B, D), (C, H, W) or (B, C, H, W)
    similarity   "cosine", "dot": w_k = |v_k u_k| / sum_j |v_j u_j|; a cosine's norms cancel.
                 "euclidean": w_k = (v_k - u_k)^2 / sum_j (v_j - u_j)^2, its share in the distance;
                 this one is our reading of the paper
    spatial_sum  for embeddings that are feature maps: sum the shares over space, so that each
                 channel has one weight

    The weights are constants (detached) and sum to 1 for every image. Raises BadInput for shapes
    that do not fit and for a zero vector on either side.
    """

    reference: Tensor
    similarity: SimilarityKind = "cosine"
    spatial_sum: bool = False

    def weights(self, output: Tensor) -> Tensor:
        """Return the weights w, (B, D), or (B, C) with spatial_sum."""
        v, u = _pair(output, self.reference, self.similarity, self.spatial_sum)
        v = v.detach()
        share = (v - u).square() if self.similarity == "euclidean" else (v * u).abs()
        share = share.sum(2) if self.spatial_sum else share
        total = share.sum(1, keepdim=True)
        if (total == 0).any():
            nothing = (total[:, 0] == 0).nonzero()[:, 0].tolist()
            raise BadInput(
                f"Images {nothing} share no channel with the reference (or equal it under "
                "'euclidean'): no channel contributes."
            )
        return share / total

    def __call__(self, output: Tensor) -> Tensor:
        weights, output = self.weights(output), output_tensor(output)
        v = output.flatten(2).sum(2) if self.spatial_sum else output.flatten(1)
        return (weights * v).sum(1)


@dataclass(frozen=True)
class Similarity:
    """S = cos(v, u), v . u, or -|v - u|^2: the similarity itself, for comparison with
    ChannelContribution. reference: u, as there.

    Raises BadInput for shapes that do not fit and for a zero vector on either side.
    """

    reference: Tensor
    similarity: SimilarityKind = "cosine"

    def __call__(self, output: Tensor) -> Tensor:
        v, u = _pair(output, self.reference, self.similarity, spatial_sum=False)
        if self.similarity == "cosine":
            return cosine_similarity(v, u, dim=1)
        if self.similarity == "dot":
            return (v * u).sum(1)
        return -(v - u).square().sum(1)


@dataclass(frozen=True)
class SimilarityContrast:
    """S = v . (u / |u| - mean_j w_j / |w_j|): how much more the embedding v resembles a reference u
    than other images' w_j, times |v|. What all images share cancels.

    reference  u: (D,), (B, D), (C, H, W) or (B, C, H, W)
    others     w: (M, D) or (M, C, H, W), of images as they come

    Raises BadInput for shapes that do not fit and for a zero vector among v, u and w.
    """

    reference: Tensor
    others: Tensor

    def __call__(self, output: Tensor) -> Tensor:
        v, checked = _pair(output, self.reference, "dot", spatial_sum=False)
        shape = tuple(output_tensor(output).shape[1:])
        u, w = (torch.as_tensor(e, device=v.device) for e in (self.reference, self.others))
        if w.shape[1:] != shape or len(w) == 0:
            raise BadInput(
                f"The other images' embeddings have shape {tuple(w.shape)}, the model's {shape} an "
                f"image: give M of them as {('M', *shape)}."
            )
        w = w.flatten(1)
        zero = (w == 0).all(1).nonzero()[:, 0].tolist()
        if zero:
            raise BadInput(
                f"The embedding of other images {zero[:20]} is all zero: their similarity to "
                "anything is undefined. Leave them out."
            )
        u = _directions(u.reshape(-1, checked.shape[1]))
        return (v * (u - _directions(w).mean(0)).to(v.dtype)).sum(1)


def _directions(embeddings: Tensor) -> Tensor:
    """Divide vectors (N, D), none zero, by their norm, which can be of any size."""
    vectors = embeddings.detach()
    vectors = vectors if vectors.dtype == torch.float64 else vectors.float()
    return normalize(vectors / vectors.abs().amax(1, keepdim=True))


@dataclass(frozen=True)
class PixelSet:
    """S = the sum of a class's logits over a set of output pixels (semantic segmentation).

    pixels: boolean (H, W) or (B, H, W), of the output's size; None: the pixels predicted as that
    class. Of a model with one channel, (B, 1, H, W), these are the pixels of a positive logit. The
    model returns (B, classes, H, W), or an object that holds it as for ClassLogit.

    Raises BadInput for an empty set (naming the images), a wrong size or a wrong class.
    """

    index: int
    pixels: Tensor | None = None

    def __call__(self, output: Tensor | dict[str, Tensor]) -> Tensor:
        logits = output_tensor(output, "PixelSet")
        if logits.ndim != 4:
            raise BadInput(
                "PixelSet needs logits (B, classes, H, W), the model returns "
                f"{tuple(logits.shape)}."
            )
        if not 0 <= self.index < logits.shape[1]:
            raise _out_of_range(self.index, logits.shape[1])
        if self.pixels is None:
            chosen = predicted_pixels(logits) == (self.index if logits.shape[1] > 1 else 1)
        else:
            chosen = torch.as_tensor(self.pixels, device=logits.device).bool()
            if chosen.shape[-2:] != logits.shape[-2:] or chosen.ndim not in (2, 3):
                raise BadInput(
                    f"The pixel set has shape {tuple(chosen.shape)}, the output "
                    f"{tuple(logits.shape[-2:])} pixels: resize the mask to the output's size."
                )
            chosen = chosen.expand(len(logits), *chosen.shape[-2:])
        empty = (~chosen.flatten(1).any(1)).nonzero()[:, 0].tolist()
        if empty:
            raise BadInput(
                f"The pixel set of class {self.index} is empty in images {empty}: "
                "nothing to explain."
            )
        return (logits[:, self.index] * chosen).flatten(1).sum(1)


def predicted(output: object, score: Score) -> Tensor | None:
    """Return the predicted class: (B,) for logits (B, K), (B, H, W) for a segmentation. None for an
    embedding, whose channels are no classes, and if the output holds no such tensor."""
    if isinstance(score, (ChannelContribution, Similarity, SimilarityContrast)):
        return None
    try:
        logits = output_tensor(output).detach()
    except BadInput:
        return None
    if logits.ndim == 4:
        return predicted_pixels(logits)
    of_classes = isinstance(score, (ClassLogit, ClassContrast))
    if of_classes or (logits.ndim == 2 and logits.shape[1] > 1):
        return class_logits(logits).argmax(1)
    return None


def settled(score: Score, output: object) -> Score:
    """Fix what the score reads from the model's output (predicted class or pixels, weights of a
    similarity) to the values in `output`, so that perturbed images are scored alike."""
    if isinstance(score, ClassLogit) and score.index is None:
        return replace(score, index=class_logits(output).argmax(1))
    if isinstance(score, PixelSet) and score.pixels is None:
        logits = output_tensor(output)
        index = score.index if logits.shape[1] > 1 else 1
        return replace(score, pixels=predicted_pixels(logits) == index)
    if isinstance(score, ChannelContribution):
        weights = score.weights(output_tensor(output))

        def weighted(changed: object) -> Tensor:
            v = output_tensor(changed)
            return (weights[:, :, None] * v.reshape(*weights.shape, -1)).sum((1, 2))

        return weighted
    return score
