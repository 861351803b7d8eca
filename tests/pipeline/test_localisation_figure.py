"""The figure of localisation: lines are the table's numbers, at the layers they belong to."""

import numpy as np
import pandas as pd
import pytest

from naflow import plot
from naflow.methods import METHODS
from pipeline.figures.lines import own, styles
from pipeline.figures.localisation import caption, draw, stages

NAMES = {name: METHODS[name].label for name in ("gradcam", "naflow")}
LAYERS = {"small": ["conv", "pool"], "large": ["stem", "a.0", "a.1", "a.2", "b.0", "b.1"]}


@pytest.fixture
def table():
    random, rows = np.random.default_rng(0), []
    for model, layers in LAYERS.items():
        for method in sorted(NAMES):
            for layer in layers:
                ratio = random.uniform(0.5, 3)
                rows.append((model, method, layer, 12, 9, 1, ratio, ratio - 0.2, ratio + 0.3))
    names = ["model", "method", "layer", "cases", "pictures", "undefined"]
    return pd.DataFrame(rows, columns=[*names, "ratio", "ratio_low", "ratio_high"])


def panels(figure):
    return [ax for ax in figure.axes if ax.axison]


def curves(ax):
    """Colour -> (x, y) of each method's line, without the line of chance."""
    lines = [line for line in ax.lines if len(line.get_xdata()) and line.get_marker() != "None"]
    return {line.get_color(): np.array(line.get_data()) for line in lines}


def test_every_line_is_a_methods_numbers(table):
    figure = draw(table, NAMES)
    assert len(panels(figure)) == 2
    for ax, (model, layers) in zip(panels(figure), LAYERS.items(), strict=True):
        found = curves(ax)
        assert len(found) == 2
        for method in NAMES:
            rows = table[(table["model"] == model) & (table["method"] == method)]
            x, y = found[own(method)["color"]]
            assert x.tolist() == list(range(len(layers)))
            assert y == pytest.approx(rows["ratio"].to_numpy())
        bands = [band.get_datalim(ax.transData) for band in ax.collections]
        of_model = table[table["model"] == model]
        assert min(b.y0 for b in bands) == pytest.approx(of_model["ratio_low"].min())
        assert max(b.y1 for b in bands) == pytest.approx(of_model["ratio_high"].max())
        chance = [line for line in ax.lines if list(line.get_ydata()) == [1, 1]]
        assert len(chance) == 1
    words = [text.get_text() for text in figure.texts]
    assert [word for word in words if word in NAMES.values()] == list(NAMES.values())
    assert {"small", "large", "9 pictures"} <= set(words)


def test_a_method_may_lack_a_layer_or_a_model(table):
    """Its numbers stay at their own layers, with a gap where one is missing."""
    lacking = table.drop(
        table[(table["method"] == "gradcam") & table["layer"].isin(["a.1", "conv", "pool"])].index
    )
    small, large = panels(draw(lacking, NAMES))
    _, y = curves(large)[own("gradcam")["color"]]
    assert np.isnan(y).tolist() == [False, False, True, False, False, False]
    assert np.isnan(curves(small)[own("gradcam")["color"]][1]).all()
    assert not np.isnan(curves(small)[own("naflow")["color"]][1]).any()


def test_layers_keep_their_order_where_the_first_method_lacks_some(table):
    lacking = table[~((table["method"] == "gradcam") & (table["layer"] == "stem"))]
    _, large = panels(draw(lacking, NAMES))
    _, y = curves(large)[own("naflow")["color"]]
    rows = table[(table["model"] == "large") & (table["method"] == "naflow")]
    assert y == pytest.approx(rows["ratio"].to_numpy())


def test_the_names_of_stages():
    assert stages(LAYERS["large"]) == ([0, 1, 4], ["stem", "a", "b"])
    assert stages(["b1.x", "b1.y", "b2.x", "b2.y"]) == ([0, 2], ["b1", "b2"])
    assert stages(["conv", "pool"]) == ([0], ["conv"])


def test_methods_that_have_no_name_differ():
    found = styles([*METHODS, "damped_0.3", "damped_1"])
    assert found["naflow"] == own("naflow")
    looks = {(one["color"], one["marker"], one.get("linestyle", "-")) for one in found.values()}
    assert len(looks) == len(METHODS) + 2


def test_the_caption_counts(table):
    assert "95% bootstrap" in caption(table, NAMES, 0.95)
    assert f"({len(table)} of {12 * len(table)})" in caption(table, NAMES, 0.95)
    assert "null hypothesis" not in caption(table, NAMES, 0.95)
    assert "HiResCAM of the same layer is the null hypothesis" in caption(
        table, NAMES | {"hirescam": "HiResCAM"}, 0.95
    )


def test_the_same_bytes_again(table, tmp_path):
    for ending in ("png", "pdf"):
        for name in ("first", "second"):
            plot.save(draw(table, NAMES), tmp_path / f"{name}.{ending}", 60)
        first, second = ((tmp_path / f"{n}.{ending}").read_bytes() for n in ("first", "second"))
        assert first == second
