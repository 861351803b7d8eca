"""Stage `explain`: the attention flows of one method on one model, for pictures of the test split.

    python -m pipeline.explain method=naflow model=resnet18 images=shapes

Writes parts of `explain.batch` pictures each (see pipeline.maps). A run that was killed goes on
where it stopped; a finished one starts anew.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

import naflow
from naflow import Flow
from naflow.errors import BadInput
from naflow.plot import overlay
from pipeline import device, maps, weights
from pipeline.app import stage
from pipeline.images import Part, Picture
from pipeline.pixels import normalised, read
from pipeline.tracking import tracked


@stage
def main(cfg: DictConfig) -> None:
    """Explain, part by part."""
    choices: Any = HydraConfig.get().runtime.choices
    explain(cfg, choices.method, choices.model)


def explain(cfg: DictConfig, method: str, model: str) -> Path:
    """Write the maps of `cfg.method` on `cfg.model` to results/images/method/model; returns it."""
    if cfg.model.task != weights.CLASSIFICATION:
        raise BadInput(
            f"{cfg.model.name} gives an embedding, not classes. Explain it in Python by its "
            "likeness to another picture: scores.ChannelContribution(reference)."
        )
    device.seeded(cfg.seed)
    where = device.chosen(cfg.device)
    images = instantiate(cfg.images)
    loaded = weights.load(cfg.model, where)
    present, chosen = images.part(Part(**cfg.explain.part))
    pictures, classes = in_turn(chosen, cfg.explain.pictures), loaded.classes or present
    pixels = read(pictures, classes, cfg.model.input.size, cfg.model.input.fit, quiet=True)
    explainer = instantiate(cfg.method, loaded.network)
    mark = fingerprint(cfg, pixels.images.numpy())
    folder = Path(cfg.results) / images.name / method / model
    maps.begin(folder)
    starts = range(0, len(pictures), cfg.explain.batch)
    with tracked(cfg.tracking, f"{images.name}-{method}-{model}", cfg) as run:
        for number, start in enumerate(tqdm(starts, desc=f"{method} {model}", disable=cfg.quiet)):
            path, part = maps.part_path(folder, number), slice(start, start + cfg.explain.batch)
            if maps.is_done(path, mark):
                continue
            batch = pixels.images[part]
            flow = explainer(normalised(batch.to(where), cfg.model.input.mean, cfg.model.input.std))
            maps.write_part(
                path, flow, pixels.ids[part], [picture.label for picture in pictures[part]], mark
            )
            for key, image, row in zip(pixels.ids[part], batch, rows(flow), strict=True):
                run.picture("flow", strip(image.permute(1, 2, 0).numpy(), row), caption=key)
    maps.finish(folder, len(starts), manifest(cfg, explainer.name, classes))
    return folder


def in_turn(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """The first `count` pictures, the classes in turn: the first of each, then the second, ..."""
    of_class: dict[str, list[Picture]] = {}
    for picture in pictures:
        of_class.setdefault(picture.label, []).append(picture)
    rounds = chain.from_iterable(zip_longest(*of_class.values()))
    return [picture for picture in rounds if picture is not None][:count]


def rows(flow: Flow) -> list[list[np.ndarray]]:
    """For each image of the batch, its maps from shallow to deep."""
    return [
        list(of_image)
        for of_image in zip(
            *(flow.maps[n].detach().cpu().numpy() for n in flow.layers), strict=True
        )
    ]


def strip(image: np.ndarray, attention: Sequence[np.ndarray]) -> np.ndarray:
    """The image (H, W, 3) uint8 under each map, side by side: (H, L*W, 3) uint8."""
    panels = [overlay(image / 255, one) for one in attention]
    return (np.concatenate(panels, axis=1) * 255).astype(np.uint8)


def settings(cfg: DictConfig) -> dict:
    """The part of the configuration that decides the maps."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    model = {key: value for key, value in chosen["model"].items() if key != "train"}
    return {
        "method": chosen["method"],
        "model": model,
        "images": chosen["images"],
        "explain": chosen["explain"],
    }


def fingerprint(cfg: DictConfig, images: np.ndarray) -> str:
    """What a part must agree on to be kept: settings, seed, weights, pictures, library code."""
    digest = hashlib.sha256(json.dumps([settings(cfg), cfg.seed], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(Path(cfg.model.weights).read_bytes())
    for source in sorted(Path(naflow.__file__).parent.rglob("*.py")):
        if source.name != "plot.py":
            digest.update(source.read_bytes())
    return digest.hexdigest()


def manifest(cfg: DictConfig, name: str, classes: list[str]) -> dict:
    """What made the maps, for captions and for whoever finds the folder."""
    weights_sha = hashlib.sha256(Path(cfg.model.weights).read_bytes()).hexdigest()
    return {
        "method": name,
        "classes": classes,
        "settings": settings(cfg),
        "seed": cfg.seed,
        "weights_sha256": weights_sha,
        "versions": device.versions() | {"naflow": naflow.__version__},
    }


if __name__ == "__main__":
    main()
