"""Stage `explain`: compute the attention flows of one method on one model.

    python -m pipeline.explain method=naflow model=resnet18 images=shapes
    python -m pipeline.explain -m method=naflow,gradcam 'model=glob(*)'
    python -m pipeline.explain -m 'explain.shard=range(0,4)' explain.shards=4 hydra/launcher=joblib

For a classifier, the predicted class is explained; for a model that gives an embedding, a picture's
similarity to its reference. `explain.cases` names the pictures. Without it, they are the model's
first test pictures, classes in turn, and the references are the most similar pictures.

Writes parts of `explain.batch` pictures each (see pipeline.explanations.parts), and holds one part
in memory. A run that was killed continues where it stopped; a finished one starts again. If there
are several shards, each makes the missing ones of its own parts, and `python -m pipeline.merge`
finishes the job.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

import naflow
from naflow.errors import BadInput
from pipeline import device
from pipeline.app import stage
from pipeline.atomic import locked
from pipeline.explanations import maps, parts, questions
from pipeline.explanations.batches import Batches
from pipeline.explanations.job import Job
from pipeline.explanations.questions import Likeness, PredictedClass, Question
from pipeline.explanations.strips import show
from pipeline.fingerprint import fingerprint, of_file
from pipeline.models import weights
from pipeline.models.subject import outputs
from pipeline.pictures.pixels import normalised
from pipeline.tracking import tracked

# Settings of `explain` that do not change the maps.
WITHOUT_EFFECT = ("shard", "shards", "shown")


@stage
def main(cfg: DictConfig) -> None:
    """Explain, part by part."""
    choices: Any = HydraConfig.get().runtime.choices
    explain(cfg, choices.method)


def explain(cfg: DictConfig, method: str) -> Path:
    """Write the maps of `cfg.method` on `cfg.model` to the folder results/maps/model/method, and
    return that folder.

    Raises BadInput for weights, cases and pictures that do not exist.
    """
    device.seeded(cfg.seed)
    where, model, seen = device.chosen(cfg.device), cfg.model.name, cfg.model.input
    loaded = weights.load(cfg.model, where)
    images = instantiate(cfg.images)
    batches = Batches(cfg, images, loaded.network)
    numbers = share(cfg.explain, len(batches))
    explainer = instantiate(cfg.method, loaded.network)
    about = described(cfg, explainer.name, loaded.classes or images.classes, batches)
    job = Job(Path(cfg.results) / "maps" / model / method, len(batches), about)
    alone = cfg.explain.shards == 1
    name = f"{images.name}-{method}-{model}" + f"-{cfg.explain.shard}" * (not alone)
    # A single run holds the folder's lock throughout; shards take it only to write.
    with locked(job.folder) if alone else nullcontext(), tracked(cfg.tracking, name, cfg) as run:
        job.start(anew=alone)
        for number in tqdm(numbers, desc=f"{method} {model}", disable=cfg.quiet):
            batch = batches.read(number)
            if job.has(number, batch.mark):
                continue
            question = posed(batch.references, cfg, loaded.network)
            device.seeded(cfg.seed)  # so that its maps do not depend on other batches
            shown = normalised(batch.images.to(where), seen.mean, seen.std)
            flow = explainer(shown, question.score)
            job.add(number, batch.mark, parts.arrays(flow, question, batch.cases, batch.labels))
            if number * cfg.explain.batch < cfg.explain.shown:
                show(run, batch, flow)
        if alone:
            job.finish()
        with locked(job.folder):
            summary = maps.summary_of_parts(job.folder, numbers)
        run.table("layers", summary)
    return job.folder


def share(asked: DictConfig, parts: int) -> range:
    """Return the numbers of the parts that this run makes: every `explain.shards`-th, from
    `explain.shard` on. Raises BadInput if there is no such shard."""
    if not 0 <= asked.shard < asked.shards:
        raise BadInput(
            f"explain.shard={asked.shard}: there is none of this number among explain.shards="
            f"{asked.shards}; they count from 0. For sixteen: -m 'explain.shard=range(0,16)' "
            "explain.shards=16."
        )
    return range(asked.shard, parts, asked.shards)


def posed(references: Tensor | None, cfg: DictConfig, network: nn.Module) -> Question:
    """Return what is explained of a batch: its similarity to references (B, 3, H, W) uint8, or, if
    there are none, its predicted classes."""
    if references is None:
        return PredictedClass()
    seen, where = cfg.model.input, next(network.parameters()).device
    return Likeness(outputs(network, references, seen.mean, seen.std).to(where))


def settings(cfg: DictConfig) -> dict:
    """Return the part of the configuration that determines the maps."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    asked = {key: value for key, value in chosen["explain"].items() if key not in WITHOUT_EFFECT}
    return {key: chosen[key] for key in ("method", "model", "images")} | {"explain": asked}


def described(cfg: DictConfig, name: str, classes: list[str], batches: Batches) -> dict:
    """Return the description of the maps; its "job" is the fingerprint of settings, seed, weights,
    cases and code."""
    agreed = {
        "settings": settings(cfg),
        "seed": cfg.seed,
        "weights_sha256": of_file(cfg.model.weights),
    }
    pictures = [case.pictures for case in batches.cases]
    return agreed | {
        "method": name,
        "model": cfg.model.name,
        "classes": list(classes),
        # Between releases, every commit has its own version; the fingerprint covers the sources.
        "versions": device.versions() | {"naflow": naflow.__version__.partition(".dev")[0]},
        "job": fingerprint([agreed, pictures], naflow, questions),
    }


if __name__ == "__main__":
    main()
