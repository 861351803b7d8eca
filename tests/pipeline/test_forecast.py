"""The forecast is arithmetic on what was measured, and says what it is computed from."""

import os
import re

import pytest
import torch
from omegaconf import OmegaConf
from small_cost import COST
from torch import nn

from pipeline import forecast, needs, profile
from pipeline.app import CONF
from pipeline.atomic import read_json
from pipeline.forecast import Network, Stage
from pipeline.plan import READ, START

STEP = {
    "objective": {"_target_": "pipeline.learning.objectives.Classification", "head": True},
    "pixels": 128,
    "schedule": {"phases": [{"size": 56, "epochs": 4}, {"size": 112, "epochs": 2}], "batch": 64},
}
EPISODES = {
    "objective": {
        "_target_": "pipeline.learning.objectives.MetaBaseline",
        **{"ways": 5, "shots": 1, "queries": 15, "steps": 20},
    },
    "pixels": 84,
    "schedule": {"phases": [{"size": 112, "epochs": 3}], "batch": 2},
}
FEW_SHOT = {"_target_": "pipeline.judging.protocols.Episodes", "part": {"group": "novel"}}
NEIGHBOURS = {
    "_target_": "pipeline.judging.protocols.NearestNeighbours",
    "part": {"split": "test"},
}


@pytest.fixture
def network():
    """A network of the profile at 0.01 s a forward pass, at half the side of the costs."""

    def made(verify=FEW_SHOT, images="cub", **steps):
        recipe = OmegaConf.create(
            {"size": 112, "learns": {"group": "base"}, "steps": steps, "verify": verify}
        )
        body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return Network("net", images, recipe, body, COST, 0.01, 0.004, 4)

    return made


@pytest.fixture
def paced(monkeypatch):
    """Forward passes that take a hundredth of a second, without any being timed."""
    monkeypatch.setattr(forecast, "seconds", lambda network, images: 0.01 * len(images))


def test_training_is_epochs_of_views_of_forward_passes(config, network):
    found = forecast.trained(config(), network(classification=STEP))
    passes = 5903 * (4 / 4 + 2)  # a view of half the side is a quarter of the work
    assert found.seconds == pytest.approx(START + 5903 * READ + passes * COST.step * 0.004)
    assert "5,903 pictures, 6 epochs of 5,903 views, 3.5 forward passes each of 4 ms" in found.why
    weights = 4 * (3 * 4 * 9 + 4)
    values = 64 * COST.alive["step"] / 4
    assert found.memory == pytest.approx(4 * weights + 5903 * 4 * 128**2 + values)


def test_episodes_are_counted_in_views(config, network):
    found = forecast.trained(config(), network(episodes=EPISODES))
    views = 20 * 2 * 5 * 16
    assert found.seconds == pytest.approx(START + 5903 * READ + 3 * views * COST.step * 0.004)
    assert f"3 epochs of {views:,} views" in found.why
    both = forecast.trained(config(), network(classification=STEP, episodes=EPISODES))
    alone = forecast.trained(config(), network(classification=STEP))
    assert both.seconds == pytest.approx(alone.seconds + found.seconds - START)


def test_judging_counts(config, network):
    cfg = config()
    few_shot = forecast.verified(cfg, network(FEW_SHOT | {"episodes": 100}))
    work = 2958 + 100 * COST.judge * 4  # it does not shrink with the pictures
    assert few_shot.seconds == pytest.approx(START + 2958 * READ + work * 0.01)
    bank = forecast.verified(cfg, network(NEIGHBOURS | {"known": None}, "imagenet"))
    work = 50_000 * (1 + COST.judge * 4)
    assert bank.seconds == pytest.approx(START + 50_000 * READ + work * 0.01)
    assert bank.memory - few_shot.memory > 1_281_167 * 128 * 4
    known = forecast.verified(cfg, network(NEIGHBOURS | {"known": {"split": "test"}}, "imagenet"))
    assert known.seconds == pytest.approx(START + 100_000 * (READ + 0.01))


def test_explaining_is_every_method_of_every_picture(config, network):
    cfg = config()
    cfg.methods = "naflow,gradcam"
    found = forecast.explained(cfg, network(), 24)
    assert found.seconds == pytest.approx(START + 24 * (READ + 8 * 0.01))
    assert found.disk == pytest.approx(24 * 2 * COST.maps / 4)
    assert found.memory == pytest.approx(4 * (3 * 4 * 9 + 4) + 8 * 2**28 / 4)


def test_what_is_not_known_has_no_time(config, network):
    cfg = config()
    assert forecast.trained(cfg, network(images="mine", classification=STEP)).seconds is None
    assert forecast.verified(cfg, network(images="mine")).seconds is None
    one, two = forecast.of_network(cfg, "resnet18", "imagenet", None, 24, ["verify", "explain"])
    assert (one.name, two.name) == ("verify@resnet18", "explain@resnet18")
    assert one.seconds is None and "python -m bench.costs --models resnet18" in one.why
    (lacking,) = forecast.of_network(cfg, "resnet18", "mine", COST, 24, ["explain"])
    assert lacking.seconds is None and "conf/recipe/mine/resnet18.yaml" in lacking.why


def test_a_profile_leads_to_no_recipe_elsewhere(config, tmp_path):
    (tmp_path / "resnet18.yaml").write_text("size: 8\nverify: {_target_: os.abort}\n")
    for images in (str(tmp_path), os.path.relpath(tmp_path, CONF / "recipe")):
        assert (CONF / "recipe" / images / "resnet18.yaml").is_file()
        (found,) = forecast.of_network(config(), "resnet18", images, COST, 24, ["verify"])
        assert found.seconds is None and "there is no conf/recipe" in found.why


def test_a_forward_pass_is_timed(monkeypatch):
    calls = []

    class Counting(nn.Module):
        def forward(self, images):
            calls.append(len(images))
            clock[0] += 0.2
            return images

    clock = [0.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: clock[0])
    assert forecast.seconds(Counting(), torch.zeros(8, 1)) == pytest.approx(0.2)
    assert calls == [8] * 4  # 0.6 s, and one that does not count


@pytest.mark.parametrize("name", ["paper", "embedded", "photographs"])
def test_every_stage_of_a_profile_has_a_time(config, paced, name):
    cfg = config(f"fetch.profile={CONF}/profile/{name}.yaml")
    stages = forecast.forecast(cfg)
    shown = profile.shown(CONF / "profile" / f"{name}.yaml")
    names = [one.name for one in stages]
    assert len(set(names)) == len(names)
    for kind in ("verify", "select", "explain"):
        assert {one for one in names if one.startswith(kind)} == {f"{kind}@{n}" for n in shown}
    assert all(one.seconds > 0 for one in stages)
    run = {one.name for one in stages if one.memory}
    assert {one.partition("@")[0] for one in run} <= {"train", "verify", "explain"}
    text = forecast.told(stages, "a machine")
    assert all(f"| {one} |" in text for one in names)
    assert ("downloads come on top" in text) == (name != "embedded")


def test_the_sums_are_those_of_the_table():
    text = forecast.told(
        [
            Stage("train@a", 3600, "much", 2e9),
            Stage("explain@a", 1800, "little", 5e9, 2e9),
            Stage("verify@b", None, "it is not measured"),
        ],
        "a machine",
    )
    assert "Together: about 1.5 h, without verify@b" in text
    assert "at most about 5.0 GB" in text and "Maps: about 2.0 GB" in text
    assert "| verify@b | not known |  | it is not measured |" in text


def test_durations_in_words():
    told = [forecast.duration(seconds) for seconds in (7.4, 90, 5400, None)]
    assert told == ["7 s", "1.5 min", "1.5 h", "not known"]


def test_what_was_rehearsed_is_what_the_page_tells():
    text = (CONF.parent / "docs" / "rehearsal.md").read_text()
    text = text.partition("| stage | s |")[2].partition("What is shorter")[0]
    rows = re.findall(r"^\| `(\S+)` \| [\d.]+ \| ([\d.]+) \|$", text, re.MULTILINE)
    assert {name: float(core) for name, core in rows} == read_json(forecast.REHEARSED)


def test_the_command_tells_both(config, paced, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cfg = config(f"fetch.profile={CONF}/profile/photographs.yaml", f"plan.costs={CONF}/costs.json")
    needs.main(cfg)
    text = capsys.readouterr().out
    assert text.index("Needed by hand: nothing.") < text.index("Time by stage")
    assert not list(tmp_path.glob("data"))
