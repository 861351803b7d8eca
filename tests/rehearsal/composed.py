"""conf/ as a stage reads it, for one stand-in that is published from loopback."""

from collections.abc import Mapping
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pipeline.app import CONF
from rehearsal.publisher import Publisher


def composed(
    publisher: Publisher, folder: Path, name: str, images: str, own: Mapping[str, Path]
) -> DictConfig:
    """Network `name` on `images`, all its files in `folder`; own: further settings."""
    paths = {
        "fetch.published": publisher.list(folder / "published.json"),
        "fetch.folder": folder / "external",
        "fetch.lock": folder / "lock.json",
        "results": folder / "results",
        "model.weights": folder / f"{name}.safetensors",
    }
    settings = [f"{key}={path}" for key, path in {**paths, **own}.items()]
    settings += [f"model={name}", f"images={images}", "tracking.mode=disabled", "device=cpu"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [*settings, "quiet=true"])
