"""Figures: drawn from maps alone, with the same bytes, and helpful when something is missing."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from torchvision.models import resnet18

from naflow import plot
from naflow.errors import BadInput
from pipeline import explain, weights
from pipeline.figures.strips import draw


@pytest.fixture
def made(config, tmp_path):
    """Maps of two methods, and the arguments of `draw` that fit them."""
    weights.save(
        tmp_path / "weights.safetensors", "resnet18", resnet18(num_classes=2), ["cross", "disc"]
    )
    for method in ("naflow", "gradcam"):
        cfg = config(f"method={method}", "explain.pictures=3")
        explain.explain(cfg, method, "resnet18")
    return {
        "folder": Path(cfg.results) / "shapes",
        "images": instantiate(cfg.images),
        "model": "resnet18",
        "methods": ["naflow", "gradcam"],
        "layers": ["relu", "layer1.0"],
        "pictures": 2,
    }


def texts(figure):
    return " | ".join(
        text.get_text() for ax in figure.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)
    )


def test_words_come_from_the_data_and_bytes_repeat(made, tmp_path):
    figure = draw(**made)
    words = texts(figure)
    for word in ("disc", "cross", "predicted ", "NAFlow\n(damped)", "Grad-CAM", "layer1.0\n8×8"):
        assert word in words
    for name in ("first.pdf", "second.pdf", "first.png", "second.png"):
        plot.save(draw(**made), tmp_path / name, dpi=50)
    for ending in ("pdf", "png"):
        assert (tmp_path / f"first.{ending}").read_bytes() == (
            tmp_path / f"second.{ending}"
        ).read_bytes()


def test_every_layer_and_chosen_pictures(made):
    figure = draw(**made | {"layers": ["all"], "pictures": ["cross_test_000"]})
    assert "conv1" in texts(figure)
    assert "disc" not in texts(figure)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layers": ["layer1.9"]}, "no layer 'layer1.9'. Did you mean"),
        ({"pictures": ["cross_test_999"]}, "no picture 'cross_test_999'. Did you mean"),
        ({"methods": ["naflow", "layercam"]}, "layercam/resnet18 holds no finished maps"),
    ],
)
def test_what_is_missing_is_named(made, change, sentence):
    with pytest.raises(BadInput, match=sentence):
        draw(**made | change)


def test_maps_of_other_pictures_do_not_stand_side_by_side(made, config):
    explain.explain(config("method=gradcam", "explain.pictures=2"), "gradcam", "resnet18")
    with pytest.raises(BadInput, match="the maps of gradcam are of other pictures"):
        draw(**made)
