"""The plan is arithmetic on measured costs, and the document holds what the command prints."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from small_cost import COST
from torch.utils.flop_counter import FlopCounterMode

from naflow import models
from naflow.errors import BadInput
from pipeline import costs, plan, profile
from pipeline.app import CONF
from pipeline.plan import READ, START, Job

ROOT = CONF.parent


@pytest.fixture
def told(monkeypatch):
    """What is printed, with some settings changed."""
    monkeypatch.chdir(ROOT)

    def printed(*overrides):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", list(overrides))
        return plan.told(cfg, costs.read(Path(cfg.plan.costs)))

    return printed


def test_minutes_are_start_pictures_and_flows():
    job = Job(COST, "naflow", pictures=8000, rate=1000, known=0)
    assert job.minutes(8) * 60 == pytest.approx(START + 1000 * READ + 1000 * 2 * 5 / 1000)
    assert job.hours * 3600 == pytest.approx(80) and job.parts == pytest.approx(1.6)
    more = Job(COST, "naflow", pictures=8000, rate=1000, known=500)
    assert (more.minutes(8) - job.minutes(8)) * 60 == pytest.approx(500 * READ + 500 * 2 / 1000)


def test_the_last_worker_counts():
    job = Job(COST, "naflow", pictures=9, rate=1, known=0)
    assert job.minutes(8) == job.minutes(5) > job.minutes(9)


def test_a_table_for_each_method_with_every_network_of_the_profile(told):
    text = told("plan.methods=[naflow,gradcam]", "plan.gpus=[4]", "plan.pictures=1000")
    assert text.startswith("1,000 pictures on 4 GPUs, at 2,000 GFLOP/s each (assumed).")
    for name in profile.shown("conf/profile/paper.yaml"):
        assert text.count(f"| {models.card(name).title} |") == 2
    assert text.count("GPU hours") == 2 and "min, 4 GPUs" in text


def test_twice_the_rate_is_half_the_gpu_hours(told):
    def hours(text):
        return float(text.partition("all: ")[2].split()[0])

    once, twice = (hours(told("plan.pictures=1000000", f"plan.rate={n}")) for n in (1000, 2000))
    assert once == pytest.approx(2 * twice, rel=0.01)


def test_what_was_not_measured_is_said(told, tmp_path):
    with pytest.raises(BadInput, match=r"lrp was not measured; .*naflow.* were"):
        told("plan.methods=[lrp]")
    file = tmp_path / "costs.json"
    file.write_text("{}")
    with pytest.raises(BadInput, match=r"python -m bench\.costs --models resnet18"):
        told(f"plan.costs={file}")
    with pytest.raises(BadInput, match=r"there\.json.*python -m bench\.costs"):
        told(f"plan.costs={tmp_path}/there.json")


def test_the_measured_costs_are_of_these_networks():
    known = costs.read()
    assert set(profile.shown(CONF / "profile" / "paper.yaml")) <= set(known)
    for name in ("conv4net", "resnet18"):
        cost = known[name]
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            models.create(name)(torch.zeros(1, 3, cost.size, cost.size))
        assert counted.get_total_flops() / 1e9 == pytest.approx(cost.gflop, rel=0.01)
    for name, cost in known.items():
        assert cost.step > 2  # a forward and a reverse pass
        assert cost.alive["step"] > cost.alive["forward"]
        judged = name.endswith("npid") or models.card(name).task.startswith("5-way")
        assert (cost.judge > 0) == judged


def test_the_document_holds_what_the_command_prints(told):
    assert told().strip() in (ROOT / "docs" / "scale.md").read_text()
