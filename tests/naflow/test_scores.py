"""Scores: their values, their weights, and what they say of bad input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from naflow import BadInput, scores


def test_class_logit_by_default_is_the_predicted_class() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, -1.0]])
    assert scores.ClassLogit()(logits).tolist() == [3, 5]
    assert scores.ClassLogit(2)(logits).tolist() == [2, -1]
    assert scores.ClassLogit([0, 1])(logits).tolist() == [1, 0]
    assert scores.ClassLogit(torch.tensor([0, 1]))(logits).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, "Class 3 is out of range: the model has classes 0 to 2"),
        (-1, "Class -1 is out of range"),
        ([0, 1, 2], "one for each of the 2 images"),
        (0.5, "one integer"),
    ],
)
def test_class_index_is_checked(index: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        scores.ClassLogit(index)(torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_logit_decides_between_two_classes(shape: tuple[int, ...]) -> None:
    """Class 1 where it is positive; what is asked for has its own sign."""
    z = torch.tensor([2.0, -3.0, 0.5]).view(shape).requires_grad_()
    assert scores.ClassLogit()(z).tolist() == [2, 3, 0.5]
    assert scores.ClassLogit(1)(z).tolist() == [2, -3, 0.5]
    assert scores.ClassLogit([0, 0, 1])(z).tolist() == [-2, 3, 0.5]
    assert scores.predicted(z, scores.ClassLogit()).tolist() == [1, 0, 1]
    gradient = torch.autograd.grad(scores.ClassLogit()(z).sum(), z)[0]
    assert gradient.flatten().tolist() == [1, -1, 1]
    with pytest.raises(BadInput, match="Class 2 is out of range: the model has classes 0 to 1"):
        scores.ClassLogit(2)(z)


def test_one_channel_is_the_foreground() -> None:
    """(B, 1, H, W): the pixels of a positive logit, and not every pixel."""
    logits = torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]], [[[-1.0, 5.0], [-6.0, -7.0]]]])
    assert scores.PixelSet(0)(logits).tolist() == [4, 5]
    assert scores.PixelSet(0, torch.ones(2, 2))(logits).tolist() == [-2, -9]
    expected = (logits[:, 0] > 0).long()
    assert torch.equal(scores.predicted(logits, scores.PixelSet(0)), expected)
    asked = scores.settled(scores.PixelSet(0), logits)
    assert asked(10 * logits.abs()).tolist() == [40, 50]
    with pytest.raises(BadInput, match=r"class 0 is empty in images \[1\]"):
        scores.PixelSet(0)(logits - 4.5 * torch.tensor([0.0, 2.0]).view(2, 1, 1, 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["cosine", "dot", "euclidean"]), st.booleans())
def test_contribution_weights(seed: int, similarity: str, one_reference: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(3, 5, generator=generator, requires_grad=True)
    u = torch.randn((5,) if one_reference else (3, 5), generator=generator)
    score = scores.ChannelContribution(u, similarity)
    weights = score.weights(v)
    assert torch.allclose(weights.sum(1), torch.ones(3), atol=1e-5)
    assert (weights >= 0).all()
    # Eq. 17-21: the gradient with respect to the embedding is the weights, which are constants
    gradient = torch.autograd.grad(score(v).sum(), v)[0]
    assert torch.allclose(gradient, weights, atol=1e-6)
    for i in range(3):
        for k in range(5):
            a, b = v[i].detach(), u if one_reference else u[i]
            share = (a - b) ** 2 if similarity == "euclidean" else (a * b).abs()
            assert weights[i, k] == pytest.approx(float(share[k] / share.sum()), abs=1e-5)


def test_contributions_summed_over_space() -> None:
    v, u = torch.randn(2, 3, 4, 4), torch.randn(3, 4, 4)
    score = scores.ChannelContribution(u, spatial_sum=True)
    weights = score.weights(v)
    share = (v * u).abs().sum((2, 3))
    assert torch.allclose(weights, share / share.sum(1, keepdim=True))
    assert torch.allclose(score(v), (weights * v.sum((2, 3))).sum(1), atol=1e-5)
    whole = scores.ChannelContribution(u)
    assert whole.weights(v).shape == (2, 48)


def test_similarities() -> None:
    v, u = torch.randn(4, 6), torch.randn(6)
    cosine = (v @ u) / (v.norm(dim=1) * u.norm())
    assert torch.allclose(scores.Similarity(u)(v), cosine, atol=1e-6)
    assert torch.allclose(scores.Similarity(u, "dot")(v), v @ u, atol=1e-6)
    assert torch.allclose(scores.Similarity(u, "euclidean")(v), -((v - u) ** 2).sum(1), atol=1e-5)


@pytest.mark.parametrize("kind", [scores.Similarity, scores.ChannelContribution])
def test_similarities_are_checked(kind: type) -> None:
    v = torch.randn(2, 6)
    with pytest.raises(BadInput, match=r"reference has shape \(5,\).*\(6,\)"):
        kind(torch.randn(5))(v)
    with pytest.raises(BadInput, match=r"embedding of reference .* all zero"):
        kind(torch.zeros(6))(v)
    with pytest.raises(BadInput, match=r"embedding of image \[1\] is all zero"):
        kind(torch.randn(6))(torch.stack([v[0], torch.zeros(6)]))
    with pytest.raises(BadInput, match=r"no similarity 'cosin'.*'cosine'"):
        kind(torch.randn(6), "cosin")(v)


@pytest.mark.parametrize("shape", [(6,), (3, 2, 2)])
def test_similarity_contrast(shape: tuple[int, ...]) -> None:
    v, u, w = torch.randn(4, *shape), torch.randn(shape), torch.randn(5, *shape)

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a * b).sum() / (a.norm() * b.norm()))

    for reference in (u, u[None].repeat(4, *[1] * len(shape))):
        found = scores.SimilarityContrast(reference, w)(v)
        for image, one in zip(v, found, strict=True):
            difference = cosine(image, u) - sum(cosine(image, other) for other in w) / 5
            assert float(one / image.norm()) == pytest.approx(difference, abs=1e-5)


def test_what_all_images_share_cancels() -> None:
    """A direction in which all embeddings agree has no gradient."""
    v = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    u, w = torch.tensor([3.0, 4, 0, 0, 0]), torch.tensor([[3.0, 0, 4, 0, 0], [3.0, 0, 0, 4, 0]])
    (gradient,) = torch.autograd.grad(scores.SimilarityContrast(u, w)(v).sum(), v)
    expected = torch.tensor([0.0, 0.8, -0.4, -0.4, 0.0]).expand(3, 5)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("size", [1e-30, 1e-13, 1e30])
def test_a_contrast_depends_on_directions_alone(size: float) -> None:
    v, u, w = torch.randn(2, 6), torch.randn(6), torch.randn(4, 6)
    found = scores.SimilarityContrast(u * size, w * size)(v)
    torch.testing.assert_close(found, scores.SimilarityContrast(u, w)(v))


def test_a_contrast_of_large_vectors_in_half_precision() -> None:
    half = scores.SimilarityContrast(torch.full((6,), 6e4).half(), torch.eye(6).half())
    expected = (6**0.5 - 1) * torch.ones(1)
    torch.testing.assert_close(half(torch.ones(1, 6).half()).float(), expected, atol=2e-3, rtol=0)


def test_similarity_contrast_is_checked() -> None:
    v, u = torch.randn(2, 6), torch.randn(6)
    for others in (torch.randn(4, 5), torch.randn(0, 6), torch.randn(6)):
        with pytest.raises(BadInput, match=r"other images' embeddings have shape .*\('M', 6\)"):
            scores.SimilarityContrast(u, others)(v)
    with pytest.raises(BadInput, match=r"embedding of other images \[1\] is all zero"):
        scores.SimilarityContrast(u, torch.eye(6)[:2] * torch.tensor([[1.0], [0]]))(v)
    with pytest.raises(BadInput, match=r"reference has shape \(5,\)"):
        scores.SimilarityContrast(u[:5], torch.randn(4, 6))(v)
    assert scores.predicted(v, scores.SimilarityContrast(u, torch.randn(4, 6))) is None


def test_orthogonal_supports_share_no_channel() -> None:
    with pytest.raises(BadInput, match=r"Images \[0\] share no channel"):
        scores.ChannelContribution(torch.tensor([0.0, 1.0]))(torch.tensor([[1.0, 0.0]]))


def test_pixel_set() -> None:
    logits = torch.randn(2, 3, 4, 5)
    logits[:, 1, 0, 0] = 10
    found = scores.PixelSet(1)(logits)
    predicted = logits.argmax(1) == 1
    assert torch.allclose(found, (logits[:, 1] * predicted).sum((1, 2)))
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, 2] = True
    assert torch.allclose(scores.PixelSet(2, mask)({"out": logits}), logits[:, 2, 1, 2])


def test_pixel_set_is_checked() -> None:
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = 1
    with pytest.raises(BadInput, match=r"class 1 is empty in images \[0, 1\]"):
        scores.PixelSet(1)(logits)
    with pytest.raises(BadInput, match="resize the mask"):
        scores.PixelSet(1, torch.ones(8, 8))(logits)
    with pytest.raises(BadInput, match="Class 3 is out of range"):
        scores.PixelSet(3)(logits)
    with pytest.raises(BadInput, match="PixelSet needs logits"):
        scores.PixelSet(0)(torch.zeros(2, 3))


def test_class_contrast() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 3.0]], requires_grad=True)
    share = torch.tensor([1.0, 0.0]).softmax(0)
    found = scores.ClassContrast([0, 0])(logits)
    assert found.tolist() == pytest.approx([2 - float(share[0]), -3])
    gradient = torch.autograd.grad(found.sum(), logits)[0]
    torch.testing.assert_close(gradient[0], torch.tensor([1.0, -share[0], -share[1]]))
    torch.testing.assert_close(gradient.sum(1), torch.zeros(2))  # what all share cancels
    assert torch.equal(scores.ClassContrast()(logits)[1:], scores.ClassContrast(1)(logits)[1:])


def test_one_logit_is_its_own_contrast() -> None:
    z = torch.tensor([[2.0], [-3.0]])
    for score in (scores.ClassContrast(), scores.contrasted(scores.ClassLogit())):
        assert torch.equal(score(z), scores.ClassLogit()(z))
    assert scores.ClassContrast(1)(z).tolist() == [2, -3]


def test_contrasted_is_the_logit_explained_by_what_sets_it_apart() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    asked, apart = scores.contrasted(scores.ClassLogit(2)), scores.ClassContrast(2)
    assert torch.equal(asked(logits), logits[:, 2])
    found, expected = (torch.autograd.grad(s(logits).sum(), logits)[0] for s in (asked, apart))
    assert torch.equal(found, expected)


def test_of_one_logit_or_for_another_question_nothing_is_contrasted() -> None:
    logits = torch.randn(3, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = torch.autograd.grad(scores.contrasted(scores.ClassLogit())(logits).sum(), logits)[0]
    assert torch.equal(found, logits.sign())
    own = scores.Similarity(torch.ones(5))
    assert scores.contrasted(own) is own
