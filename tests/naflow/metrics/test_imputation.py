"""Imputation against pytorch-grad-cam's, which solves a sparse system, and fills that are known."""

import pytest
import torch

from naflow.errors import BadInput, NotFinite
from naflow.metrics.imputation import imputed

pytestmark = pytest.mark.filterwarnings("ignore")  # scipy's and the package's own


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("blocks", [1, 6])
def test_equals_pytorch_grad_cams_linear_imputer(share, blocks):
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    images = random(3, 2, 24, 18)
    coarse = random(3, 24 // blocks, 18 // blocks, seed=1)
    missing = torch.nn.functional.interpolate(coarse[:, None], (24, 18))[:, 0] < share
    missing[:, 20:, :2] = False
    found = imputed(images, missing)
    for i in range(3):
        theirs = NoisyLinearImputer(noise=0)(images[i], (~missing[i]).float())
        torch.testing.assert_close(found[i], theirs, rtol=0, atol=2e-4)
        exact = imputed(images[i : i + 1].double(), missing[i : i + 1], tol=1e-12)[0]
        torch.testing.assert_close(exact.float(), theirs, rtol=0, atol=1e-6)


def test_a_ramp_is_restored():
    """The mean of the neighbours of a linear function is the function, away from the border."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(15.0), indexing="ij")
    images = torch.stack([2 * x - y, x + 3 * y])[None]
    missing = torch.zeros(1, 12, 15, dtype=torch.bool)
    missing[:, 2:9, 3:14] = True
    torch.testing.assert_close(imputed(images, missing), images, rtol=0, atol=1e-2)
    exact = imputed(images.double(), missing, start=torch.zeros_like(images).double(), tol=1e-12)
    torch.testing.assert_close(exact, images.double(), rtol=0, atol=1e-8)


def test_single_pixels_written_out():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    middle, corner = torch.zeros(2, 3, 3, dtype=torch.bool)
    middle[1, 1] = corner[0, 0] = True
    found = imputed(image.expand(2, 1, 3, 3), torch.stack([middle, corner]))
    assert float(found[0, 0, 1, 1]) == pytest.approx((1 + 3 + 5 + 7) / 6 + (0 + 2 + 6 + 8) / 12)
    expected = (1 / 6 + 3 / 6 + 4 / 12) / (5 / 12)
    assert float(found[1, 0, 0, 0]) == pytest.approx(expected)
    assert torch.equal(found[0, 0][~middle], image[0, 0][~middle])


def test_what_is_missing_leaves_no_trace():
    images, missing = random(2, 3, 16, 16), random(2, 16, 16, seed=1) < 0.6
    changed = torch.where(missing[:, None], 1 - images, images)
    one, other = imputed(images, missing), imputed(changed, missing)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_an_image_does_not_depend_on_its_batch():
    images, missing = random(3, 2, 16, 16), random(3, 16, 16, seed=1) < 0.5
    missing[0, 2:14, 2:14] = True  # takes more iterations than the others
    alone = torch.cat([imputed(images[i : i + 1], missing[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(imputed(images, missing), alone, rtol=0, atol=1e-7)
    dark = images * torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1, 1)
    assert not imputed(dark, missing)[1].any()


def test_what_cannot_be_imputed():
    images, missing = random(2, 1, 8, 8), random(2, 8, 8, seed=1) < 0.5
    with pytest.raises(NotFinite, match=r"images \[0, 1\] did not reach tol=1e-05 in 1 iter"):
        imputed(images, missing, max_iterations=1)
    missing[1] = True
    with pytest.raises(BadInput, match=r"All pixels of images \[1\]"):
        imputed(images, missing)
