"""Stage `explain`: the attention flows of one method on one model.

    python -m pipeline.explain method=naflow model=resnet18 images=shapes
    python -m pipeline.explain -m method=naflow,gradcam 'model=glob(*)'
    python -m pipeline.explain -m 'explain.shard=range(0,4)' explain.shards=4 hydra/launcher=joblib

A classifier is asked for the class it predicts, a model that gives an embedding for what makes a
picture alike to its reference. `explain.cases` names the pictures. Without it they are the first
of the model's test pictures, the classes in turn, and the references are those most alike.

Writes parts of `explain.batch` pictures each (see pipeline.explanations.maps), and holds one in
memory. A run that was killed goes on where it stopped; a finished one starts anew. Of several
shards each makes what is missing of its own parts; `python -m pipeline.merge` finishes the job.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from tqdm import tqdm

import naflow
from naflow import Flow
from naflow.errors import BadInput
from naflow.plot import CONVENTION, overlay
from pipeline import device
from pipeline.app import stage
from pipeline.atomic import locked, restore
from pipeline.explanations import maps, store
from pipeline.explanations.batches import Batch, Batches
from pipeline.explanations.cases import Case
from pipeline.explanations.questions import Likeness, PredictedClass, Question
from pipeline.models import weights
from pipeline.models.subject import outputs
from pipeline.pictures.pixels import normalised
from pipeline.tracking import Run, tracked

# What of `explain` says who works and what is shown on the way; the maps are the same.
WITHOUT_EFFECT = ("shard", "shards", "shown")


@stage
def main(cfg: DictConfig) -> None:
    """Explain, part by part."""
    choices: Any = HydraConfig.get().runtime.choices
    explain(cfg, choices.method)


def explain(cfg: DictConfig, method: str) -> Path:
    """Write the maps of `cfg.method` on `cfg.model` to results/maps, and there to the folder
    model/method; returns that.

    Raises BadInput for weights, cases and pictures that are not there.
    """
    device.seeded(cfg.seed)
    where, model, seen = device.chosen(cfg.device), cfg.model.name, cfg.model.input
    loaded = weights.load(cfg.model, where)
    images = instantiate(cfg.images)
    batches = Batches(cfg, images, loaded.network)
    numbers = share(cfg.explain, len(batches))
    explainer = instantiate(cfg.method, loaded.network)
    classes = loaded.classes or images.classes
    about = manifest(cfg, explainer.name, classes, batches.cases)
    folder = Path(cfg.results) / "maps" / model / method
    alone = cfg.explain.shards == 1
    name = f"{images.name}-{method}-{model}" + f"-{cfg.explain.shard}" * (not alone)
    # Shards write to one folder in turn; a run alone has it for itself.
    with locked(folder) if alone else nullcontext(), tracked(cfg.tracking, name, cfg) as run:
        with locked(folder):
            restore(folder / store.NAME)
            if alone:
                maps.empty(folder)
        for number in tqdm(numbers, desc=f"{method} {model}", disable=cfg.quiet):
            batch = batches.read(number)
            mark = f"{about['job']} {batch.mark}"
            if maps.made(folder, [number]).get(number) == mark:
                continue
            question = posed(batch, cfg, loaded.network)
            device.seeded(cfg.seed)  # its maps depend on no other batch
            shown = normalised(batch.images.to(where), seen.mean, seen.std)
            flow = explainer(shown, question.score)
            with locked(folder):
                maps.begin(folder, len(batches), about)
                path = maps.part_path(folder, number)
                maps.write_part(path, flow, question, batch.cases, batch.labels, mark)
            if number * cfg.explain.batch < cfg.explain.shown:
                show(run, batch, flow)
        if alone:
            maps.finish(folder, len(batches), about)
        with locked(folder):
            summary = maps.summary_of_parts(folder, numbers)
        run.table("layers", summary)
    return folder


def share(asked: DictConfig, parts: int) -> range:
    """The numbers of the parts that this run makes: every `explain.shards`-th, from
    `explain.shard` on. Raises BadInput where there is no such shard."""
    if not 0 <= asked.shard < asked.shards:
        raise BadInput(
            f"explain.shard={asked.shard}: there is none of this number among explain.shards="
            f"{asked.shards}; they count from 0. For sixteen: -m 'explain.shard=range(0,16)' "
            "explain.shards=16."
        )
    return range(asked.shard, parts, asked.shards)


def posed(batch: Batch, cfg: DictConfig, network: nn.Module) -> Question:
    """What is asked of a batch."""
    if batch.references is None:
        return PredictedClass()
    seen, where = cfg.model.input, next(network.parameters()).device
    return Likeness(outputs(network, batch.references, seen.mean, seen.std).to(where))


def show(run: Run, batch: Batch, flow: Flow) -> None:
    """Log the strip of every case."""
    for case, image, row in zip(batch.cases, batch.images, rows(flow), strict=True):
        caption = f"{flow.method}, {' ~ '.join(case.pictures)}. {CONVENTION}"
        run.picture("flow", strip(image.permute(1, 2, 0).numpy(), row), caption=caption)


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
    asked = {key: value for key, value in chosen["explain"].items() if key not in WITHOUT_EFFECT}
    return {key: chosen[key] for key in ("method", "model", "images")} | {"explain": asked}


def fingerprint(asked: Sequence[Case], made_by: dict) -> str:
    """What all parts of a job must agree on: settings, seed, weights, cases, library code."""
    keys = ("settings", "seed", "weights_sha256")
    agreed = [[made_by[key] for key in keys], [case.pictures for case in asked]]
    digest = hashlib.sha256(json.dumps(agreed, sort_keys=True).encode())
    for source in sorted(Path(naflow.__file__).parent.rglob("*.py")):
        if source.name != "plot.py":
            digest.update(source.read_bytes())
    return digest.hexdigest()


def manifest(cfg: DictConfig, name: str, classes: Sequence[str], asked: Sequence[Case]) -> dict:
    """What made the maps, for captions and for whoever finds the folder."""
    made_by = {
        "method": name,
        "model": cfg.model.name,
        "classes": list(classes),
        "settings": settings(cfg),
        "seed": cfg.seed,
        "weights_sha256": hashlib.sha256(Path(cfg.model.weights).read_bytes()).hexdigest(),
        # Between releases every commit has a version; there the sources count (fingerprint).
        "versions": device.versions() | {"naflow": naflow.__version__.partition(".dev")[0]},
    }
    return made_by | {"job": fingerprint(asked, made_by)}


if __name__ == "__main__":
    main()
