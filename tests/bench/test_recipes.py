"""The bench of the recipes for birds, on pictures of one colour a class: what it runs and tells."""

import pandas as pd
import pytest
import torch
from PIL import Image

from bench import recipes

CLASSES = [f"bird {letter}" for letter in "abcdefghijklm"]  # 8 are learned, 5 judge


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options of a run on four pictures a class; a row of another subset has no picture."""
    shorter = {"classification": {"epochs": 3, "pixels": 24, "size": 24}}
    shorter["episodes"] = {"epochs": 1, "steps": 1, "pixels": 24, "size": 24}
    monkeypatch.setitem(recipes.RECIPES, "cub/conv4net", ("conv4net", shorter))
    rows = []
    for number, label in enumerate(CLASSES):
        for picture in range(4):
            name = f"{number}_{picture}.png"
            colour = (number * 19, 255 - number * 19, picture * 20)
            Image.new("RGB", (24, 24), colour).save(tmp_path / name)
            rows.append({"image": name, "class": label, "subset": "here"})
    rows.append({"image": "none.png", "class": "cat", "subset": "elsewhere"})
    pd.DataFrame(rows).to_csv(tmp_path / "index.csv", index=False)
    few = ("recipe.verify.queries=2", "recipe.steps.episodes.objective.queries=2")
    words = [str(tmp_path), "--only", "subset=here", "--start", "none", "--threads", "1"]
    return recipes.told([*words, "--settings", *few, "recipe.size=24"])


def test_a_recipe_learns_and_is_judged_before_and_after(options, monkeypatch):
    used, autocast = set(), recipes.autocast
    monkeypatch.setattr(recipes, "autocast", lambda *a: used.add(a[0]) or autocast(*a))
    found = recipes.learned("cub/conv4net", "float32", options, CLASSES[8:])
    assert used == {"float32"}
    assert {name: len(losses) for name, losses in found.losses.items()} == {
        "classification": 3,
        "episodes": 1,
    }
    assert found.losses["classification"][-1] < found.losses["classification"][0]
    assert found.before["episodes"] == found.after["episodes"] == 1000
    assert found.before["accuracy"] != found.after["accuracy"]
    cells = recipes.row("cub/conv4net", "float32", found)
    assert cells[0] == "`cub/conv4net`" and "(of 3); episodes" in cells[2]


@pytest.mark.parametrize("precision", recipes.PRECISIONS)
def test_the_precision_is_the_one_that_was_asked_for(precision):
    with recipes.autocast(precision, torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert str(product.dtype) == f"torch.{precision}"


def test_numbers_have_intervals():
    found = {"recall1": 0.5, "pictures": 100}
    assert recipes.number(found) == "recall@1 50.0% ± 9.8%"
    assert recipes.number({"accuracy": 0.3, "interval": 0.01}) == "5-way 30.0% ± 1.0% (chance 20 %)"


def test_five_losses_of_many():
    assert recipes.some([float(k) for k in range(30)]) == [0, 7, 14, 22, 29]
    assert recipes.some([1.0]) == [1]
