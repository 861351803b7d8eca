"""Small scenes, a small configuration, and the real photographs where they are."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from small_recipe import steps
from torchvision.models import resnet18

from pipeline.app import CONF
from pipeline.data import write
from pipeline.models import weights

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are faster on one thread, and a busy machine cannot stall them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of real photographs that some checks use."""
    if not (SHARED / "images" / "index.csv").exists():
        pytest.skip("no folder of photographs beside this repository (../shared/images)")
    return SHARED / "images"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A folder of small scenes: two base classes and one novel class."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    settings = {
        "size": 32,
        "seed": 0,
        "classes": {"base": ["disc", "cross"], "novel": ["key"]},
        "count": {"base": {"train": 6, "val": 2, "test": 3}, "novel": {"test": 2}},
    }
    write(root, OmegaConf.create(settings), quiet=True)
    return root


@pytest.fixture
def untrained(tmp_path):
    """The weights that `config` names: a resnet18's, random."""
    torch.manual_seed(0)
    network = resnet18(num_classes=2)
    weights.save(tmp_path / "weights.safetensors", "resnet18", network, ["cross", "disc"])


@pytest.fixture
def config(scenes, tmp_path):
    """Compose conf/ as the stages do, on small scenes and a small schedule, into tmp_path."""

    def composed(*overrides: str) -> DictConfig:
        small = [
            f"images.root={scenes}",
            f"results={tmp_path}/results",
            f"drawings={tmp_path}/figures",
            f"tracking.folder={tmp_path}/wandb",
            "tracking.mode=disabled",
            "quiet=true",
            "device=cpu",
            f"model.weights={tmp_path}/weights.safetensors",
        ]
        trained = [
            "recipe.size=32",
            *steps("classification"),
        ]
        given = ("model=", "images=", "recipe=", "+experiment=")
        if not any(item.startswith(given) for item in overrides):
            small += trained
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", [*small, *overrides])

    return composed
