"""The stage: fair pairs, numbers that agree with the files beside them, kills without effect."""

import json

import numpy as np
import pytest
from PIL import Image

from naflow.errors import BadInput
from pipeline.finetune import finetune
from pipeline.learning.training import Trainer
from pipeline.train import train

SMALL = [
    "+finetune=shapes",
    "finetune.schedule.phases=[{size: 32, epochs: 2}]",
    "finetune.schedule.batch=5",
    "finetune.explainer.most=2",
    "finetune.hard=0.5",
    "finetune.seeds=2",
    "evaluate.resamples=50",
]
NETWORK = ["model.network._target_=small_classifier.small", "~model.network.name"]
TWO = "{never: {probability: 0}, always: {hide: attended, fill: mean, probability: 1}}"


@pytest.fixture
def tuned(config):
    """A network trained on the small scenes, and fine-tuned as overrides say."""
    train(config(*NETWORK))

    def run(*overrides):
        arms = "~finetune.arms", f"+finetune.arms={TWO}"
        return finetune(config(*NETWORK, *SMALL, *arms, *overrides))

    return run


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.*")}


def test_numbers_agree_with_what_each_training_got_wrong(tuned, tmp_path):
    found = tuned()
    folder = tmp_path / "results" / "finetune"
    assert json.loads((folder / "resnet18.json").read_text()) == found
    assert found["pictures"]["train"] == 12 and found["pictures"]["test"] == 6
    assert found["pictures"]["hard_masked"] <= found["pictures"]["hard"] == 6
    assert list(found["arms"]) == ["plain", "never", "always"]
    for name, arm in found["arms"].items():
        wrong = [
            json.loads((folder / "resnet18" / f"{name}-{seed}.json").read_text())["wrong"]
            for seed in (0, 1)
        ]
        assert arm["seeds"] == pytest.approx([1 - len(one) / 6 for one in wrong], abs=1e-6)
    gain = np.subtract(found["arms"]["always"]["seeds"], found["arms"]["plain"]["seeds"])
    assert found["differences"]["always - plain"]["seeds"] == pytest.approx(gain, abs=1e-5)
    assert not list(folder.rglob("*.checkpoint"))


def test_arms_differ_in_their_masks_alone(tuned, tmp_path):
    tuned()
    folder = tmp_path / "results" / "finetune" / "resnet18"
    runs = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for seed in (0, 1):
        assert runs[f"never-{seed}"]["losses"] == runs[f"plain-{seed}"]["losses"]
        assert runs[f"always-{seed}"]["losses"] != runs[f"plain-{seed}"]["losses"]
    assert runs["plain-0"]["losses"] != runs["plain-1"]["losses"]


def test_without_a_rate_nothing_changes(tuned):
    found = tuned("finetune.schedule.rate=0")
    for arm in found["arms"].values():
        assert arm["seeds"] == [found["before"]] * 2
    assert {one["mean"] for one in found["differences"].values()} == {0}


def test_the_sheet_shows_every_arm_below_the_pictures(tuned, tmp_path):
    found = tuned()
    sheet = np.asarray(Image.open(tmp_path / "results" / "finetune" / "resnet18" / "hard.png"))
    columns = found["pictures"]["hard_masked"]
    assert sheet.shape == (3 * 32, columns * 32, 3)
    own, never, always = np.split(sheet, 3)
    assert not np.array_equal(own, never)  # the background is blurred, at whatever probability
    assert not np.array_equal(never, always)


def test_a_kill_changes_nothing_and_finished_trainings_are_kept(tuned, tmp_path, monkeypatch):
    folder = tmp_path / "results" / "finetune"
    whole = tuned("finetune.seeds=3")
    wanted = files(folder)
    for path in {*folder.rglob("*-2.json"), *folder.rglob("always-*.json")}:
        path.unlink()
    epochs, real = [], Trainer._epoch

    def stopping(self, *arguments):
        if len(epochs) == 3:
            raise KeyboardInterrupt
        epochs.append(arguments)
        return real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Trainer, "_epoch", stopping)
        tuned("finetune.seeds=3")
    assert tuned("finetune.seeds=3") == whole
    assert files(folder) == wanted


def test_other_settings_train_anew(tuned, tmp_path):
    path = tmp_path / "results" / "finetune" / "resnet18" / "plain-0.json"
    tuned()
    first = json.loads(path.read_text())
    tuned("finetune.schedule.rate=0.01")
    second = json.loads(path.read_text())
    assert first["fingerprint"] != second["fingerprint"]
    assert first["losses"] != second["losses"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([], r"\+finetune=shapes"),
        ([*SMALL, "+finetune.arms.plain={}"], "finetune.arms.plain: that name is taken"),
        ([*SMALL, "finetune.seeds=1"], "finetune.seeds=1: an interval needs two"),
        ([*SMALL, "model=conv64f"], "conv64f gives embeddings"),
        ([*SMALL, "recipe=photographs"], "which pictures resnet18 has learned of 'shapes'"),
    ],
)
def test_settings_of_no_use_are_told_before_any_work(config, overrides, told):
    with pytest.raises(BadInput, match=told):
        finetune(config(*overrides))


def test_both_settings_compose(config):
    for name in ("shapes", "birds"):
        cfg = config(f"+finetune={name}")
        assert cfg.finetune.learns == cfg.recipe.learns
        assert set(cfg.finetune.arms) == {"background", "attended", "shuffled"}
