"""Stage `explain`: the attention flows of one method on one model.

    python -m pipeline.explain method=naflow model=resnet18 images=shapes
    python -m pipeline.explain -m method=naflow,gradcam 'model=glob(*)'

A classifier is asked for the class it predicts, a model that gives an embedding for what makes a
picture alike to its reference. `explain.cases` names the pictures. Without it they are the first
of the model's test pictures, the classes in turn, and the references are those most alike.

Writes parts of `explain.batch` pictures each (see pipeline.explanations.maps). A run that was
killed goes on where it stopped; a finished one starts anew.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

import naflow
from naflow import Flow
from naflow.plot import overlay
from pipeline import device
from pipeline.app import stage
from pipeline.explanations import cases, maps
from pipeline.explanations.cases import Case
from pipeline.explanations.questions import Likeness, PredictedClass, Question
from pipeline.models import weights
from pipeline.models.subject import outputs
from pipeline.pictures.images import Folder, Part, Picture
from pipeline.pictures.pixels import Pixels, normalised, read
from pipeline.tracking import tracked


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
    where, model = device.chosen(cfg.device), cfg.model.name
    loaded = weights.load(cfg.model, where)
    images = instantiate(cfg.images)
    chosen = asked(cfg, images, loaded.network)
    shown = {key: images.of_id(key) for case in chosen for key in case.pictures}
    pixels = pixels_of(cfg, list(shown.values()))
    references = None if is_classifier(cfg) else embedded(cfg, loaded.network, pixels)
    explainer = instantiate(cfg.method, loaded.network)
    sha = hashlib.sha256(Path(cfg.model.weights).read_bytes()).hexdigest()
    mark = fingerprint(cfg, chosen, pixels, sha)
    folder = Path(cfg.results) / "maps" / model / method
    parts = [
        chosen[start : start + cfg.explain.batch]
        for start in range(0, len(chosen), cfg.explain.batch)
    ]
    maps.begin(folder)
    with tracked(cfg.tracking, f"{images.name}-{method}-{model}", cfg) as run:
        for number, part in enumerate(tqdm(parts, desc=f"{method} {model}", disable=cfg.quiet)):
            path = maps.part_path(folder, number)
            if maps.is_done(path, mark):
                continue
            batch = pixels.images[[pixels.ids.index(case.picture) for case in part]]
            question = posed(part, pixels, references, where)
            flow = explainer(
                normalised(batch.to(where), cfg.model.input.mean, cfg.model.input.std),
                question.score,
            )
            labels = [shown[case.picture].label for case in part]
            maps.write_part(path, flow, question, part, labels, mark)
            for case, image, row in zip(part, batch, rows(flow), strict=True):
                caption = " ~ ".join(case.pictures)
                run.picture("flow", strip(image.permute(1, 2, 0).numpy(), row), caption=caption)
        classes = loaded.classes or images.classes
        maps.finish(folder, len(parts), manifest(cfg, explainer.name, classes, sha))
        run.table("layers", maps.summary(maps.load(folder)))
    return folder


def is_classifier(cfg: DictConfig) -> bool:
    """Whether the model's outputs are classes; otherwise they are an embedding."""
    return cfg.model.task == weights.CLASSIFICATION


def asked(cfg: DictConfig, images: Folder, network: nn.Module) -> list[Case]:
    """The cases of the file `explain.cases`, or else the first pictures of the model's own part,
    beside those of its recipe's known pictures (or of the same part) that are most alike."""
    if cfg.explain.cases is not None:
        return cases.read(Path(cfg.explain.cases))
    verified = cfg.recipe.get("verify", {})
    part = verified.get("part", cfg.explain.part)
    first = cases.in_turn(images.part(Part(**part))[1])[: cfg.explain.pictures]
    if is_classifier(cfg):
        return [Case(picture.id) for picture in first]
    known = images.part(Part(**(verified.get("known") or part)))[1]
    known = cases.in_turn(known)[: cfg.explain.known]
    found = [embedded(cfg, network, pixels_of(cfg, some)) for some in (first, known)]
    return cases.most_alike(first, known, *found)


def pixels_of(cfg: DictConfig, pictures: Sequence[Picture]) -> Pixels:
    """Pictures as the model is given them; their labels are of no use here."""
    return read(pictures, [], cfg.model.input.size, cfg.model.input.fit, quiet=True)


def embedded(cfg: DictConfig, network: nn.Module, pixels: Pixels) -> Tensor:
    """What the network gives for pictures."""
    return outputs(network, pixels.images, cfg.model.input.mean, cfg.model.input.std)


def posed(
    part: Sequence[Case], pixels: Pixels, references: Tensor | None, where: torch.device
) -> Question:
    """What is asked of a part; `references` are the embeddings of the pictures in `pixels`."""
    if references is None:
        return PredictedClass()
    numbers = [pixels.ids.index(case.reference) for case in part]
    return Likeness(references[numbers].to(where))


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
    return {key: chosen[key] for key in ("method", "model", "images", "explain")}


def fingerprint(cfg: DictConfig, chosen: Sequence[Case], pixels: Pixels, weights_sha: str) -> str:
    """What a part must agree on to be kept: settings, seed, weights, cases and their pictures,
    library code."""
    asked = [settings(cfg), cfg.seed, [case.pictures for case in chosen], weights_sha]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    digest.update(pixels.images.numpy().data)
    for source in sorted(Path(naflow.__file__).parent.rglob("*.py")):
        if source.name != "plot.py":
            digest.update(source.read_bytes())
    return digest.hexdigest()


def manifest(cfg: DictConfig, name: str, classes: Sequence[str], weights_sha: str) -> dict:
    """What made the maps, for captions and for whoever finds the folder."""
    return {
        "method": name,
        "model": cfg.model.name,
        "classes": list(classes),
        "settings": settings(cfg),
        "seed": cfg.seed,
        "weights_sha256": weights_sha,
        "versions": device.versions() | {"naflow": naflow.__version__},
    }


if __name__ == "__main__":
    main()
