"""The loop: a killed run that goes on ends exactly where an uninterrupted one does."""

import math
import random
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from naflow.errors import BadInput
from pipeline.learning.augment import Augmentation
from pipeline.learning.objectives import Classification
from pipeline.learning.training import Phase, Schedule, Trainer, whole
from pipeline.models.subject import outputs
from pipeline.pictures.pixels import Pixels


@pytest.fixture
def pixels():
    """Twenty pictures: class 0 dark, class 1 bright."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20) % 2
    images = torch.randint(0, 90, (20, 3, 8, 8), generator=generator) + 150 * labels.view(
        -1, 1, 1, 1
    )
    nothing = torch.empty(0)
    return Pixels([str(n) for n in range(20)], images.to(torch.uint8), labels, nothing, nothing)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def trainer(tmp_path, fingerprint="same", seed=0):
    schedule = Schedule([Phase(6, 2), Phase(8, 2)], batch=7, rate=0.02)
    half = [0.5, 0.5, 0.5]
    return Trainer(
        Classification(network(), torch.arange(20) % 2, 8),
        schedule,
        Augmentation(),
        half,
        half,
        seed,
        tmp_path / "c.checkpoint",
        fingerprint,
        quiet=True,
    )


def trained(run, pixels):
    """The weights after the whole schedule."""
    run(pixels)
    return run.objective.state_dict()


def interrupted(run, pixels, monkeypatch, after):
    """Run until `after` epochs are done, then stop as a kill would."""
    epoch = Trainer._epoch

    def stopping(self, pixels, optimizer, number):
        if number == after:
            raise KeyboardInterrupt
        return epoch(self, pixels, optimizer, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Trainer, "EVERY", 0)
        patch.setattr(Trainer, "_epoch", stopping)
        run(pixels)


def test_it_learns_and_tells_its_losses(tmp_path, pixels):
    run, told = trainer(tmp_path), []
    run.note = told.append
    losses = run(pixels)
    assert losses[-1] < losses[0]
    assert [values["loss"] for values in told] == losses
    found = outputs(run.objective.network, pixels.images, [0.5] * 3, [0.5] * 3).argmax(1)
    assert (found == pixels.labels).float().mean() > 0.9


@pytest.mark.parametrize("after", [1, 3])
def test_resumed_equals_uninterrupted(tmp_path, pixels, monkeypatch, after):
    whole = trained(trainer(tmp_path), pixels)
    (tmp_path / "c.checkpoint").unlink()
    interrupted(trainer(tmp_path), pixels, monkeypatch, after)
    resumed = trainer(tmp_path)
    assert len(resumed._resumed(torch.optim.AdamW(network().parameters()))) == after
    for name, value in trained(trainer(tmp_path), pixels).items():
        torch.testing.assert_close(value, whole[name], atol=0, rtol=0)


@pytest.mark.parametrize(("every", "writes"), [(0, 4), (3600, 1)])
def test_checkpoints_keep_their_distance(tmp_path, pixels, monkeypatch, every, writes):
    saves, save = [], Trainer._save
    monkeypatch.setattr(Trainer, "EVERY", every)
    monkeypatch.setattr(Trainer, "_save", lambda *args: (saves.append(1), save(*args)))
    trainer(tmp_path)(pixels)
    assert len(saves) == writes and (tmp_path / "c.checkpoint").exists()


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path, pixels, monkeypatch):
    fresh = trained(trainer(tmp_path, "other"), pixels)
    (tmp_path / "c.checkpoint").unlink()
    interrupted(trainer(tmp_path, "same"), pixels, monkeypatch, 2)
    for name, value in trained(trainer(tmp_path, "other"), pixels).items():
        torch.testing.assert_close(value, fresh[name], atol=0, rtol=0)


def test_the_seed_decides(tmp_path, pixels):
    first = trained(trainer(tmp_path, "a", seed=0), pixels)
    other = trained(trainer(tmp_path, "b", seed=1), pixels)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_diverging_loss_stops_with_a_sentence_and_leaves_the_last_checkpoint(
    tmp_path, pixels, monkeypatch
):
    interrupted(trainer(tmp_path), pixels, monkeypatch, 1)
    saved = (tmp_path / "c.checkpoint").read_bytes()
    run = trainer(tmp_path)
    run.schedule = replace(run.schedule, optimizer="sgd", rate=1e4, warmup=0)
    run.objective.head = nn.Linear(2, 2)  # without a batch norm behind it the rate is felt
    run.fingerprint = "another"
    with pytest.raises(BadInput, match=r"mean loss of epoch 1 is .* would give 0\.6931.*10000"):
        run(pixels)
    assert (tmp_path / "c.checkpoint").read_bytes() == saved


@pytest.mark.parametrize("chance", [math.inf, math.log(5)])
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_never_written(tmp_path, pixels, monkeypatch, chance, loss):
    run, told = trainer(tmp_path), []
    run.objective.chance, run.note = chance, told.append
    monkeypatch.setattr(Trainer, "_step", lambda *_: torch.tensor(loss))
    with pytest.raises(BadInput, match=rf"Training diverges: .* epoch 1 is {loss}"):
        run(pixels)
    assert not told and not (tmp_path / "c.checkpoint").exists()


@pytest.mark.parametrize(("loss", "stops"), [(90, True), (40, False)])
def test_what_diverges_is_measured_in_chance(tmp_path, pixels, monkeypatch, loss, stops):
    """Conv64F at the rate of others' code: 91 in its first epoch, where ln 100 is 4.6."""
    run = trainer(tmp_path)
    run.objective.chance = math.log(100)
    monkeypatch.setattr(Trainer, "_step", lambda *_: torch.tensor(float(loss)))
    with pytest.raises(BadInput) if stops else nullcontext():
        run(pixels)


def test_rate_rises_then_falls_to_zero():
    schedule = Schedule([Phase(8, 1)], rate=1.0, warmup=0.25)
    rates = [schedule.rate_at(share / 100) for share in range(101)]
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates.index(max(rates)) == 25
    assert 0 < rates[0] < 0.05
    assert rates[-1] == 0


def test_milestones_divide_by_ten():
    schedule = Schedule([Phase(8, 1)], rate=1.0, warmup=0, milestones=[0.5, 0.8])
    assert [schedule.rate_at(share) for share in (0, 0.49, 0.5, 0.79, 0.81)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )


def test_an_unknown_optimizer():
    with pytest.raises(BadInput, match=r"'adamv'.*Did you mean 'adam'"):
        Schedule([Phase(8, 1)], optimizer="adamv")


def test_a_damaged_checkpoint_is_said_and_training_begins_again(tmp_path, pixels, caplog):
    uninterrupted = trained(trainer(tmp_path), pixels)
    content = (tmp_path / "c.checkpoint").read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"no archive"):
        (tmp_path / "c.checkpoint").write_bytes(damaged)
        caplog.clear()
        for name, value in trained(trainer(tmp_path), pixels).items():
            torch.testing.assert_close(value, uninterrupted[name], atol=0, rtol=0)
        assert "c.checkpoint is damaged" in caplog.text and "begins again" in caplog.text


def test_a_changed_bit_of_a_checkpoint_is_refused_or_changes_nothing(tmp_path, pixels):
    trainer(tmp_path)(pixels)
    path, chance, refusals = tmp_path / "c.checkpoint", random.Random(0), 0
    content, state = path.read_bytes(), whole(path)
    for _ in range(200):
        at, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        try:
            found = whole(path)
        except BadInput:
            refusals += 1
            continue
        assert found.keys() == state.keys() and found["losses"] == state["losses"]
        for name, value in found["objective"].items():
            assert torch.equal(value, state["objective"][name]), (at, bit)
    assert refusals > 50


def test_a_schedule_that_makes_no_batch_is_said_before_the_first_step(pixels, tmp_path):
    run = trainer(tmp_path)
    run.schedule = replace(run.schedule, batch=1)
    with pytest.raises(BadInput, match=r"schedule\.batch=1 makes no batch of two"):
        trained(run, pixels)
    assert not run.checkpoint.exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"batch": 0}, "schedule.batch=0: it must be a whole number of 1"),
        ({"rate": "x"}, "schedule.rate='x': it must be a number of 0"),
        ({"weight_decay": float("nan")}, "schedule.weight_decay=nan"),
        ({"warmup": 1}, "schedule.warmup=1: it must be a share below 1"),
        ({"warmup": -1}, "schedule.warmup=-1: it must be a number of 0"),
        ({"phases": []}, "nothing to train"),
    ],
)
def test_schedules_that_there_are_not(wrong, told):
    with pytest.raises(BadInput, match=told):
        Schedule(**({"phases": [Phase(8, 1)]} | wrong))
    with pytest.raises(BadInput, match=r"phases: epochs=0: it must be"):
        Phase(8, 0)
