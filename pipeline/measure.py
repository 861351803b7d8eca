"""Stage `measure`: how well the maps of one method tell what one model looked at.

    python -m pipeline.measure method=naflow model=resnet18 images=shapes
    python -m pipeline.measure -m 'method=glob(*)' model=resnet18,resnet50

The pictures are those of `pipeline.explain`, `explain.pictures` of them; only those count that show
an object, by mask or box, beside a background. Writes results/measured/model/method.csv, a row a
picture and layer:

    share ... rank_accuracy        where the map lies against the object
    insertion, deletion, gain      faithfulness
    own                            on scenes of two pictures: whose question is asked; not for a
                                   network whose output grows with the picture

the last two groups, which are dear, at `measure.deep` layers and for the first `measure.judged`
pictures alone; and, for every picture, how its flow runs, in method.flow.csv. Nothing is computed
again whose settings, weights, pictures and code are those of the file that is there: a sweep that
was killed goes on with the pair of model and method that it was at, and pairs are what processes
share, as in hydra/launcher=joblib.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from tqdm import tqdm

import naflow
from naflow import Flow, metrics
from naflow.errors import BadInput
from pipeline import device
from pipeline.app import stage
from pipeline.atomic import read_json, replacing, write_json
from pipeline.explanations.batches import Batches
from pipeline.measuring import asked as questions
from pipeline.measuring import measures
from pipeline.measuring import panel as panels
from pipeline.measuring.panel import Panel, panel_of
from pipeline.models import weights
from pipeline.tracking import tracked

DIGITS = "%.6f"
COLUMNS = [
    *("picture", "reference", "layer", "depth"),
    *("share", "ratio", "interference", "pointing", "rank_accuracy"),
    *("insertion", "deletion", "gain", "own"),  # empty where they were not measured
]


@stage
def main(cfg: DictConfig) -> None:
    """Measure."""
    choices: Any = HydraConfig.get().runtime.choices
    measure(cfg, cfg.measure.name or choices.method)


def measure(cfg: DictConfig, method: str) -> Path:
    """Write the measures of `cfg.method`, under the name `method`, on `cfg.model`; returns their
    file.

    Raises BadInput for weights and pictures that are not there, and for explain.shards.
    """
    if cfg.explain.shards != 1:
        raise BadInput(
            f"explain.shards={cfg.explain.shards}: what is measured is shared out by model and "
            "method, as in -m 'method=glob(*)' model=resnet18,resnet50 hydra/launcher=joblib."
        )
    device.seeded(cfg.seed)
    network = weights.load(cfg.model, device.chosen(cfg.device)).network
    images = instantiate(cfg.images)
    batches = Batches(cfg, images, network)
    explainer = instantiate(cfg.method, network)
    explain = partial(explainer, detail=cfg.measure.detail)
    path = Path(cfg.results) / "measured" / cfg.model.name / f"{method}.csv"
    about = {"method": explainer.name, "model": cfg.model.name, "job": job(cfg, batches)}
    if is_done(path, about):
        return path
    layers, flows = [], []
    with tracked(cfg.tracking, f"{images.name}-measure-{method}-{cfg.model.name}", cfg) as run:
        title = f"{method} {cfg.model.name}"
        for number in tqdm(range(len(batches)), desc=title, disable=cfg.quiet):
            panel = panel_of(cfg, images, network, batches.read(number))
            if panel is None:
                continue
            flow = explain(panel.images, panel.asked.score(panel.rows))
            judged = cfg.measure.judged is None or number * cfg.explain.batch < cfg.measure.judged
            layers.append(of_layers(cfg, network, explain, panel, flow, judged))
            flows.append(of_flow(panel, flow))
        if not layers:
            raise BadInput(
                f"None of the {len(batches.cases)} pictures of {images.name} shows an object, by "
                "mask or box, beside a background: there is nothing to measure against."
            )
        write(path.with_suffix(".flow.csv"), pd.concat(flows))
        table = pd.concat(layers).reindex(columns=COLUMNS)
        write(path, table)
        run.table("measured", table)
    write_json(path.with_suffix(".json"), about | {"sha256": sums(path)})
    return path


def of_layers(
    cfg: DictConfig,
    network: nn.Module,
    explain: Callable[..., Flow],
    panel: Panel,
    flow: Flow,
    judged: bool,
) -> pd.DataFrame:
    """A row a picture and layer. judged: with the measures that are dear."""
    told = cfg.measure
    maps = {layer: values.detach().clamp(min=0).cpu() for layer, values in flow}
    found = {
        layer: measures.place(values, panel.masks, round(told.tolerance * panel.masks.shape[-1]))
        for layer, values in maps.items()
    }
    deep = spread(flow.layers, told.deep) if judged else []
    answer = partial(panel.answer, network)
    for layer in deep:
        values = maps[layer].to(panel.images.device)
        found[layer] |= measures.faith(answer, panel.images, values, told.steps, cfg.seed)
    if deep and panel.takes_scenes(network):
        of_scenes = measures.owner(explain, panel.images, panel.asked, panel.partners, deep)
        for layer in deep:
            found[layer] |= of_scenes[layer]
    tables = []
    for number, (layer, numbers) in enumerate(found.items()):
        columns = {name: values.cpu().numpy() for name, values in numbers.items()}
        names = {"picture": panel.ids, "reference": panel.references, "layer": layer}
        tables.append(pd.DataFrame(names | {"depth": (number + 1) / len(found)} | columns))
    return pd.concat(tables)


def of_flow(panel: Panel, flow: Flow) -> pd.DataFrame:
    """A row a picture: how its maps change from layer to layer."""
    maps = [values.detach().clamp(min=0).cpu() for _, values in flow]
    return pd.DataFrame(
        {
            "picture": panel.ids,
            "reference": panel.references,
            "smoothness": metrics.smoothness(maps),
            "stabilisation": metrics.stabilisation_depth(maps),
            "drift": metrics.centroid_drift(maps).mean(1),
        }
    )


def spread(layers: Sequence[str], count: int) -> list[str]:
    """So many of the layers, evenly over the depth; all, where there are no more."""
    if count >= len(layers):
        return list(layers)
    return [layers[int((number + 0.5) * len(layers) / count)] for number in range(count)]


def job(cfg: DictConfig, batches: Batches) -> str:
    """A hash of what decides the measures: settings, seed, weights, pictures' names, and code."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    agreed = [chosen[key] for key in ("method", "model", "images", "measure", "seed")]
    agreed += [chosen["explain"]["batch"], [case.pictures for case in batches.cases]]
    digest = hashlib.sha256(json.dumps(agreed, sort_keys=True).encode())
    digest.update(Path(cfg.model.weights).read_bytes())
    ours = [Path(str(module.__file__)) for module in (measures, panels, questions)]
    library = Path(naflow.__file__).parent.rglob("*.py")
    for source in [Path(__file__), *ours, *sorted(library)]:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def is_done(path: Path, about: dict[str, str]) -> bool:
    """Whether the tables are there as they were written, and were made by this very job."""
    try:
        return read_json(path.with_suffix(".json")) == about | {"sha256": sums(path)}
    except (FileNotFoundError, ValueError):
        return False


def sums(path: Path) -> dict[str, str]:
    """File name -> sha256 of both tables."""
    both = (path, path.with_suffix(".flow.csv"))
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in both}


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table whose bytes depend on its numbers to six digits."""
    with replacing(path) as unfinished:
        table.to_csv(unfinished, index=False, float_format=DIGITS, lineterminator="\n")


if __name__ == "__main__":
    main()
