"""MobileNet v2 with padding right and below only."""

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from naflow.explainers import HiResCAM
from pipeline.device import chosen
from pipeline.models import weights
from pipeline.models.networks import mobilenet_v2_same
from pipeline.pictures.images import Folder
from pipeline.pictures.pixels import normalised, read


def test_same_parameters_other_padding():
    plain, same = mobilenet_v2(num_classes=4).eval(), mobilenet_v2_same(4).eval()
    same.load_state_dict(plain.state_dict())
    pads = [layer for layer in same.modules() if isinstance(layer, nn.ZeroPad2d)]
    assert len(pads) == 5
    assert all(pad.padding == (0, 1, 0, 1) for pad in pads)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert plain.features(images).shape == same.features(images).shape
    assert not torch.equal(plain(images), same(images))


def test_published_weights_know_photographs(photographs, config):
    published = photographs.parent / "weights"
    cfg = config(
        "model=more/mobilenet_v2",
        f"model.weights={published}/mobilenet_v2_imagenet1001_torchvision_fp16.pt",
        f"model.labels={published}/imagenet_labels.txt",
    )
    classifier = weights.load(cfg.model, chosen("cpu"))
    demo = Folder(
        str(photographs),
        "demo",
        "index.csv",
        {"label": "class"},
        {"subset": "imagenet_demo"},
        {"test": "demo"},
    )
    pictures = demo.split("test")[:6]
    pixels = read(pictures, demo.classes, cfg.model.input.size, "crop", quiet=True)
    images = normalised(pixels.images, cfg.model.input.mean, cfg.model.input.std)
    with torch.no_grad():
        predicted = [classifier.classes[n] for n in classifier.network(images).argmax(1)]
    right = sum(
        p.label.replace("_", " ").lower() in name.lower()
        for p, name in zip(pictures, predicted, strict=True)
    )
    assert right >= 4, list(zip([p.label for p in pictures], predicted, strict=True))
    assert len(HiResCAM(classifier.network)(images[:1])) > 20


@pytest.mark.parametrize("name", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=f"device={name}: not available here"):
        chosen(name)
