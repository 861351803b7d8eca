"""Eigen-CAM and its kin against pytorch-grad-cam and against an eigenvector."""

from __future__ import annotations

import pytest
import torch
from grad_cam_maps import MODULES, TARGETS, close, network, pictures, theirs

from naflow import scores
from naflow.explainers.eigen import EigenCAM, EigenGradCAM, SegEigenCAM, first_component

KINDS = [EigenCAM, EigenGradCAM, SegEigenCAM]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_pytorch_grad_cam(kind: type) -> None:
    model, images = network(), pictures()
    flow = kind(model)(images, scores.ClassLogit(TARGETS))
    assert flow.method == kind.name
    for layer in MODULES:
        assert float(flow[layer].amin()) >= 0
        close(flow[layer], theirs(kind.__name__, model, layer, images))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_images(kind: type) -> None:
    model, images = network(), pictures(3)
    together = kind(model)(images, scores.ClassLogit([2, 0, 1]))
    for b, target in enumerate((2, 0, 1)):
        alone = kind(model)(images[b : b + 1], scores.ClassLogit(target))
        for layer in alone.layers:
            torch.testing.assert_close(alone[layer][0], together[layer][b], rtol=1e-4, atol=1e-6)


def test_the_direction_in_which_pixels_differ_most() -> None:
    """The variance along it is the largest eigenvalue of the channels' covariance."""
    x = torch.randn(1, 5, 6, 7, dtype=torch.float64)
    found = first_component(x)
    covariance = x[0].flatten(1).cov(correction=0)
    torch.testing.assert_close(
        found.var(correction=0), torch.linalg.eigvalsh(covariance)[-1], rtol=1e-9, atol=0
    )
    assert abs(float(found.mean())) < 1e-12


def test_the_sign_of_seg_eigen_cam() -> None:
    """Whatever the solver's, the value of the largest size is kept."""
    x = torch.randn(8, 3, 5, 5)
    g = torch.randn_like(x)
    found = SegEigenCAM(network()).evidence(x, g)
    largest = first_component(g.abs() * x).abs().amax((1, 2))
    assert torch.equal(found.amax((1, 2)), largest)


def test_a_constant_layer_has_no_direction() -> None:
    assert not first_component(torch.ones(2, 3, 4, 4)).any()
