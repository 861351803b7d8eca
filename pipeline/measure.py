"""Stage `measure`: compute the validation metrics of the maps of one method on one model.

    python -m pipeline.measure method=naflow model=resnet18 images=shapes
    python -m pipeline.measure -m 'method=glob(*)' model=resnet18,resnet50

The pictures are those of `pipeline.explain`, `explain.pictures` of them; only pictures with object,
by mask or box, and background count. Writes results/measured/model/method.csv, one row per picture
and layer:

    area                           the object's share of the picture
    share ... rank_accuracy        localisation
    insertion, deletion, gain      faithfulness
    own                            class sensitivity, on scenes of two pictures; not for a network
                                   whose output grows with the picture
    empty, redrawn_*, absent_*     with `measure.sanity`: whether the map is empty, and the sanity
                                   checks with a random last layer and for a class that is not there
                                   (pipeline.measuring.sanity)

Faithfulness and `own` are expensive: they are measured at `measure.deep` layers of the first
`measure.judged` pictures only. How each flow changes from layer to layer is in method.flow.csv.
`measure.layers` is "all", or "blocks", the ends of stages and blocks. A batch is not measured again
if its settings, weights, pictures and code have not changed: a sweep that was killed, or gets more
pictures, continues. Processes can share the pairs of model and method, as with
hydra/launcher=joblib.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
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
    *("insertion", "deletion", "gain", "own"),  # empty if they were not measured
    *("empty", "redrawn_share", "redrawn_rank", "redrawn_empty"),
    *("absent_share", "absent_rank", "absent_empty"),
]


@stage
def main(cfg: DictConfig) -> None:
    """Measure."""
    choices: Any = HydraConfig.get().runtime.choices
    measure(cfg, cfg.measure.name or choices.method)


def measure(cfg: DictConfig, method: str) -> Path:
    """Write the measures of `cfg.method`, under the name `method`, on `cfg.model`; return their
    file.

    Raises BadInput for weights and pictures that do not exist, and for explain.shards.
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
    known = compared_with(cfg, batches)
    explain = partial(explained, cfg)
    model, name = cfg.model.name, instantiate(cfg.method, network).name
    path = Path(cfg.results) / "measured" / model / f"{method}.csv"
    parts = Parts(Path(cfg.results) / "measuring" / model / method, job(cfg, known))
    keys = [
        parts.key([number, judged(cfg, number), batches.read(number).mark])
        for number in range(len(batches))
    ]
    about = {"method": name, "model": model, "job": parts.key(keys)}
    if is_done(path, about):
        return path
    tables = []
    with tracked(cfg.tracking, f"{images.name}-measure-{method}-{model}", cfg) as run:
        for number, key in enumerate(tqdm(keys, desc=f"{method} {model}", disable=cfg.quiet)):
            if not parts.done(key):
                panel = panel_of(cfg, images, network, batches.read(number), known)
                if panel is None:
                    continue
                parts.write(key, of_panel(cfg, network, explain, panel, number))
            tables.append(parts.read(key))
        if not tables:
            raise BadInput(
                f"None of the {len(batches.cases)} pictures of {images.name} shows an object, by "
                "mask or box, beside a background: there is nothing to measure against."
            )
        write(path.with_suffix(".flow.csv"), pd.concat([flow for flow, _ in tables]))
        write(path, pd.concat([layers for _, layers in tables]))
        run.table("measured", pd.read_csv(path))
    write_json(path.with_suffix(".json"), about | {"sha256": sums(path)})
    return path


def compared_with(cfg: DictConfig, batches: Batches) -> Tensor | None:
    """Return the embeddings (M, ...) of the known pictures, where `measure.contrast` or
    `measure.sanity` needs them. Raises BadInput for a contrast where there are none."""
    options = cfg.measure
    known = batches.known if options.contrast or options.sanity else None
    if options.contrast and known is None:
        raise BadInput(
            f"measure.contrast=true: {cfg.model.name} has no known pictures to contrast a "
            "similarity with. Set it to false, or have references found: explain.cases=null."
        )
    return known


def explained(cfg: DictConfig, network: nn.Module) -> Callable[..., Flow]:
    """Make the method of the configuration for a network."""
    return partial(instantiate(cfg.method, network), detail=cfg.measure.detail)


def judged(cfg: DictConfig, number: int) -> bool:
    """Whether batch `number` gets the expensive measures, too."""
    return cfg.measure.judged is None or number * cfg.explain.batch < cfg.measure.judged


def of_panel(
    cfg: DictConfig,
    network: nn.Module,
    explain: Callable[[nn.Module], Callable[..., Flow]],
    panel: Panel,
    number: int,
) -> Tables:
    """Return the tables of batch `number`: of its flows, one row per picture, and of its maps, one
    row per picture and layer."""
    options, flow = cfg.measure, explain(network)(panel.images, panel.asked.score(panel.rows))
    shown = flow.blocks if options.layers == "blocks" else flow.layers
    maps = {layer: flow[layer].detach().clamp(min=0).cpu() for layer in shown}
    tolerance = round(options.tolerance * panel.masks.shape[-1])
    of_layer = {
        layer: measures.place(values, panel.masks, tolerance) for layer, values in maps.items()
    }
    groups = []
    if options.sanity:
        seed = cfg.seed + number  # so that every batch has another random layer
        groups.append(sanity(explain, network, panel, flow, shown, seed))
    deep = spread(shown, options.deep) if judged(cfg, number) else []
    if deep:
        answer = partial(panel.answer, network)
        of = {layer: maps[layer].to(panel.images.device) for layer in deep}
        groups.append(
            {
                layer: measures.faith(answer, panel.images, values, options.steps, cfg.seed)
                for layer, values in of.items()
            }
        )
    if deep and panel.takes_scenes(network):
        sides = panel.images, panel.asked, panel.partners
        groups.append(measures.owner(explain(network), *sides, deep))
    for group in groups:
        for layer, numbers in group.items():
            of_layer[layer] |= numbers
    return of_flow(panel, flow), of_layers(panel, of_layer)


def of_layers(panel: Panel, of_layer: Mapping[str, measures.Numbers]) -> pd.DataFrame:
    """Return one row per picture and layer, shallow to deep."""
    area = metrics.area(panel.masks).numpy()
    tables = []
    for number, (layer, numbers) in enumerate(of_layer.items()):
        columns = {name: values.cpu().numpy() for name, values in numbers.items()}
        names = {"picture": panel.ids, "reference": panel.references, "layer": layer}
        place = {"depth": (number + 1) / len(of_layer), "area": area}
        tables.append(pd.DataFrame(names | place | columns))
    return pd.concat(tables).reindex(columns=COLUMNS)


def of_flow(panel: Panel, flow: Flow) -> pd.DataFrame:
    """Return one row per picture: how its maps change from layer to layer."""
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
    """Return `count` of the layers, spread evenly over the depth; all if there are not more."""
    if count >= len(layers):
        return list(layers)
    return [layers[int((number + 0.5) * len(layers) / count)] for number in range(count)]


def job(cfg: DictConfig, known: Tensor | None) -> str:
    """Return the fingerprint of all that determines a batch's measures, except its pictures."""
    chosen: Any = OmegaConf.to_container(cfg, resolve=True)
    agreed = [chosen[key] for key in ("method", "model", "images", "measure", "seed")]
    for extent in ("name", "judged"):  # they do not change the numbers of a batch
        del chosen["measure"][extent]
    code = (Path(__file__), measures, panels, questions, sane, naflow)
    return fingerprint(agreed, Path(cfg.model.weights), known, *code)


def is_done(path: Path, about: dict[str, str]) -> bool:
    """Whether the tables exist unchanged and were made by this job."""
    try:
        return read_json(path.with_suffix(".json")) == about | {"sha256": sums(path)}
    except (FileNotFoundError, ValueError):
        return False


def sums(path: Path) -> dict[str, str]:
    """Return file name -> sha256 of both tables."""
    both = (path, path.with_suffix(".flow.csv"))
    return {one.name: of_file(one) for one in both}


if __name__ == "__main__":
    main()
