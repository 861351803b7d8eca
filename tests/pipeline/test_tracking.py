"""W&B: offline runs are written, and nothing that goes wrong with it reaches the stage."""

import sys

import numpy as np
import pytest
from omegaconf import OmegaConf

from pipeline.tracking import Run, tracked

CONFIG = OmegaConf.create({"seed": 0})


def settings(folder, mode):
    return OmegaConf.create({"mode": mode, "project": "naflow", "folder": str(folder)})


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for variable in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))


@pytest.mark.filterwarnings("ignore")
def test_offline_run_is_written(tmp_path):
    with tracked(settings(tmp_path, "offline"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
        run.picture("flow", np.zeros((8, 16, 3), np.uint8), caption="one")
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/flow_*.png"))


def test_disabled_does_not_even_import_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with tracked(settings(tmp_path, "disabled"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_mode_is_one_line_and_no_error(tmp_path, caplog):
    with tracked(settings(tmp_path, "sideways"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert "W&B is off for this run" in caplog.text


def test_not_installed(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with tracked(settings(tmp_path, "offline"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert "W&B is off" in caplog.text


def test_a_run_that_breaks_is_told_once(caplog):
    class Broken:
        def log(self, values):
            raise OSError("disk full")

    run = Run(Broken())
    run.numbers({"loss": 0.5})
    run.numbers({"loss": 0.4})
    assert caplog.text.count("disk full") == 1


def test_an_error_of_the_stage_still_passes(tmp_path):
    with pytest.raises(ZeroDivisionError), tracked(settings(tmp_path, "disabled"), "toy", CONFIG):
        raise ZeroDivisionError
