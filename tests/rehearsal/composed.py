"""Compose conf/ for one stand-in network that is served from loopback."""

from collections.abc import Mapping
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pipeline.app import CONF
from rehearsal.publisher import Publisher


def composed(
    publisher: Publisher, folder: Path, name: str, images: str, own: Mapping[str, Path]
) -> DictConfig:
    """Return settings of network `name` on `images`, its files in `folder`; own: further ones."""
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
