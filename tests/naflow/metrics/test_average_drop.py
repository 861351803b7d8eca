"""Average drop and increase: sums written out, and pytorch-grad-cam's confidence changes."""

import numpy as np
import pytest
import torch
from networks import Residual, randomised
from torch.nn.functional import interpolate

from naflow.errors import BadInput
from naflow.metrics.answers import Answers, ClassProbability
from naflow.metrics.average_drop import average_drop, increase, shown

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def brightness(images):
    return images.double().mean((1, 2, 3))


def test_what_a_map_shows_of_a_white_picture():
    """The score of a white picture is the mean of its mask."""
    maps = torch.tensor([[[3.0, 1.0], [1.0, 1.0]], [[0.0, 4.0], [2.0, 1.0]]])
    before, after = shown(brightness, torch.ones(2, 3, 2, 2), maps)
    assert before.tolist() == [1, 1]
    assert after.tolist() == pytest.approx([1 / 4, (0 + 1 + 1 / 2 + 1 / 4) / 4])
    assert average_drop(before, after).tolist() == pytest.approx([3 / 4, 1 - 1.75 / 4])
    assert increase(before, after).tolist() == [0, 0]


def test_drop_and_increase_written_out():
    before, after = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.1, 0.5, 0.3, torch.nan]]).double()
    lost, won = average_drop(before, after), increase(before, after)
    assert lost.tolist() == pytest.approx([0.8, 0, 0, torch.nan], nan_ok=True)
    assert won.tolist() == pytest.approx([0, 0, 1, torch.nan], nan_ok=True)


def test_equals_pytorch_grad_cam():
    from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    torch.manual_seed(1)
    model = randomised(Residual()).eval()
    images, maps = 3 * random(8, 3, 16, 16) - 1, random(8, 5, 4, seed=1)
    classes = [0, 1, 2, 3] * 2
    large = interpolate(maps[:, None], (16, 16), mode="bilinear")[:, 0].numpy()
    low, high = (getattr(np, end)(large, axis=(1, 2), keepdims=True) for end in ("min", "max"))
    cams = (large - low) / (high - low)
    targets = [ClassifierOutputSoftmaxTarget(c) for c in classes]
    lost = DropInConfidence()(images, cams, targets, model)
    won = IncreaseInConfidence()(images, cams, targets, model)
    assert 0 < won.sum() < 8  # both cases are there

    answer = Answers(model, ClassProbability(classes), 8)
    before, after = shown(answer, images, maps)
    assert (average_drop(before, after) * before).numpy() == pytest.approx(lost, abs=1e-6)
    assert increase(before, after).tolist() == won.tolist()


def test_neither_scale_nor_offset_nor_batch_matters():
    images, maps = random(3, 2, 8, 8), random(3, 4, 4, seed=1)
    before, after = shown(brightness, images, maps)
    torch.testing.assert_close(shown(brightness, images, 8 * maps + 1)[1], after)
    alone = shown(brightness, images[1:2], maps[1:2], batch=1)
    torch.testing.assert_close(torch.cat(alone), torch.stack([before[1], after[1]]))


def test_a_map_that_shows_no_part_is_not_scored():
    maps = random(3, 4, 4)
    maps[0], maps[2] = 0, 0.1
    before, after = shown(brightness, random(3, 1, 9, 9), maps)
    for values in (after, average_drop(before, after), increase(before, after)):
        assert values.isnan().tolist() == [True, False, True]


def test_what_has_no_share():
    scores = torch.tensor([0.5, 0.0, -1.0])
    with pytest.raises(BadInput, match=r"images \[1, 2\] are not positive"):
        average_drop(scores, scores)
    with pytest.raises(BadInput, match="2 maps for images"):
        shown(brightness, random(3, 1, 8, 8), random(2, 4, 4))
