"""Stage `measure`: how well the maps of one method tell what one model looked at.

    python -m pipeline.measure method=naflow model=resnet18 images=shapes
    python -m pipeline.measure -m 'method=glob(*)' model=resnet18,resnet50

The pictures are those of `pipeline.explain`, `explain.pictures` of them; only those count that show
an object, by mask or box, beside a background. Writes results/measured/model/method.csv, a row a
picture and layer:

    area                           the object's share of the picture
    share ... rank_accuracy        where the map lies against the object
    insertion, deletion, gain      faithfulness
    own                            on scenes of two pictures: whose question is asked; not for a
                                   network whose output grows with the picture
    empty, redrawn_*, absent_*     with `measure.sanity`: whether there is a map, and the same of a
                                   network whose last layer was drawn anew, and of a class that is
                                   not there (pipeline.measuring.sanity)

faithfulness and `own`, which are expensive, at `measure.deep` layers and for the first
`measure.judged` pictures alone; and, for every picture, how its flow runs, in method.flow.csv.
`measure.layers` is "all", or "blocks", the ends of stages and blocks. Nothing is computed again
whose settings, weights, pictures and code are those of the file that is there: a sweep that was
killed, or is given more pictures, goes on with the batch that it was at. Pairs of model and method
are what processes share, as in hydra/launcher=joblib.
"""

from collections.abc import Callable, Mapping, Sequence
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
from pipeline.atomic import read_json, write_json
from pipeline.explanations.batches import Batches
from pipeline.fingerprint import fingerprint, of_file
from pipeline.measuring import asked as questions
from pipeline.measuring import measures
from pipeline.measuring import panel as panels
from pipeline.measuring import sanity as sane
from pipeline.measuring.panel import Panel, panel_of
from pipeline.measuring.parts import Parts, Tables, write
from pipeline.measuring.sanity import sanity
from pipeline.models import weights
from pipeline.tracking import tracked

COLUMNS = [
    *("picture", "reference", "layer", "depth"),
    *("area", "share", "ratio", "interference", "pointing", "rank_accuracy"),
    *("insertion", "deletion", "gain", "own"),  # empty where they were not measured
    *("empty", "redrawn_share", "redrawn_rank", "redrawn_empty"),
    *("absent_share", "absent_rank", "absent_empty"),
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
    explain = partial(explained, cfg)
    model, name = cfg.model.name, instantiate(cfg.method, network).name
    path = Path(cfg.results) / "measured" / model / f"{method}.csv"
    parts = Parts(Path(cfg.results) / "measuring" / model / method, job(cfg))
    keys = [
        parts.key([number, judged(cfg, number), batches.read(number).mark])
        for number in range(len(batches))
    ]
    about = {"method": name, "model": model, "job": parts.key(keys)}
    if is_done(path, about):
        return path
    found = []
    with tracked(cfg.tracking, f"{images.name}-measure-{method}-{model}", cfg) as run:
        for number, key in enumerate(tqdm(keys, desc=f"{method} {model}", disable=cfg.quiet)):
            if not parts.done(key):
                panel = panel_of(cfg, images, network, batches.read(number))
                if panel is None:
                    continue
                parts.write(key, of_panel(cfg, network, explain, panel, number))
            found.append(parts.read(key))
        if not found:
            raise BadInput(
                f"None of the {len(batches.cases)} pictures of {images.name} shows an object, by "
                "mask or box, beside a background: there is nothing to measure against."
            )
        write(path.with_suffix(".flow.csv"), pd.concat([flow for flow, _ in found]))
        write(path, pd.concat([layers for _, layers in found]))
        run.table("measured", pd.read_csv(path))
    write_json(path.with_suffix(".json"), about | {"sha256": sums(path)})
    return path


def explained(cfg: DictConfig, network: nn.Module) -> Callable[..., Flow]:
    """The method of the configuration, for a network."""
    return partial(instantiate(cfg.method, network), detail=cfg.measure.detail)


def judged(cfg: DictConfig, number: int) -> bool:
    """Whether the pictures of batch `number` are measured by what is expensive, too."""
    return cfg.measure.judged is None or number * cfg.explain.batch < cfg.measure.judged


def of_panel(
    cfg: DictConfig,
    network: nn.Module,
    explain: Callable[[nn.Module], Callable[..., Flow]],
    panel: Panel,
    number: int,
) -> Tables:
    """How the flow of every picture of batch `number` runs, and a row a picture and layer."""
    told, flow = cfg.measure, explain(network)(panel.images, panel.asked.score(panel.rows))
    shown = flow.blocks if told.layers == "blocks" else flow.layers
    maps = {layer: flow[layer].detach().clamp(min=0).cpu() for layer in shown}
    found = {
        layer: measures.place(values, panel.masks, round(told.tolerance * panel.masks.shape[-1]))
        for layer, values in maps.items()
    }
    groups = []
    if told.sanity:
        seed = cfg.seed + number  # so that it is many random layers that are asked
        groups.append(sanity(explain, network, panel, flow, shown, seed))
    deep = spread(shown, told.deep) if judged(cfg, number) else []
    if deep:
        answer = partial(panel.answer, network)
        of = {layer: maps[layer].to(panel.images.device) for layer in deep}
        groups.append(
            {
                layer: measures.faith(answer, panel.images, values, told.steps, cfg.seed)
                for layer, values in of.items()
            }
        )
    if deep and panel.takes_scenes(network):
        sides = panel.images, panel.asked, panel.partners
        groups.append(measures.owner(explain(network), *sides, deep))
    for group in groups:
        for layer, numbers in group.items():
            found[layer] |= numbers
    return of_flow(panel, flow), of_layers(panel, found)


def of_layers(panel: Panel, found: Mapping[str, measures.Numbers]) -> pd.DataFrame:
    """A row a picture and layer, shallow to deep."""
    area = metrics.area(panel.masks).numpy()
    tables = []
    for number, (layer, numbers) in enumerate(found.items()):
        columns = {name: values.cpu().numpy() for name, values in numbers.items()}
        names = {"picture": panel.ids, "reference": panel.references, "layer": layer}
        place = {"depth": (number + 1) / len(found), "area": area}
        tables.append(pd.DataFrame(names | place | columns))
    return pd.concat(tables).reindex(columns=COLUMNS)


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


def job(cfg: DictConfig) -> str:
    """The fingerprint of what decides the measures of a batch, but for its pictures."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    agreed = [chosen[key] for key in ("method", "model", "images", "measure", "seed")]
    for extent in ("name", "judged"):  # they do not change what a batch gives
        del chosen["measure"][extent]
    code = (Path(__file__), measures, panels, questions, sane, naflow)
    return fingerprint(agreed, Path(cfg.model.weights), *code)


def is_done(path: Path, about: dict[str, str]) -> bool:
    """Whether the tables are there as they were written, and were made by this very job."""
    try:
        return read_json(path.with_suffix(".json")) == about | {"sha256": sums(path)}
    except (FileNotFoundError, ValueError):
        return False


def sums(path: Path) -> dict[str, str]:
    """File name -> sha256 of both tables."""
    both = (path, path.with_suffix(".flow.csv"))
    return {one.name: of_file(one) for one in both}


if __name__ == "__main__":
    main()
