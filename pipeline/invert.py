"""Stage `invert`: measure what the inverse of a single unit does to a map.

    python -m pipeline.invert model=resnet50 images=shapes explain.pictures=48

For every unit that `method`, a NAFlow, inverts by least squares, three maps at the unit's input are
compared: without an inverse (HiResCAM's), after this one inverse from the forward activation of the
unit's output, and after all inverses from the last layer on. Writes drawings/model.csv, one row per
unit, shallow to deep:

    unit, layer          the unit, and the layer at its input, whose map is measured
    equations            equations kept per unknown
    residual, norm       of that solve, ||J x~ + c - z~|| / ||z~||; and ||x~|| / ||x||
    none, once, whole    energy ratio of the three maps: share on the object over its area
    lead, low, high      `once` less `none`, paired over pictures, with its interval

Numbers are means over the pictures that show an object.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from naflow import Flow, NAFlow, metrics
from naflow.cascade.plan import PlannedUnit
from naflow.errors import BadInput
from naflow.explainers import HiResCAM
from pipeline import device
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.explanations.batches import Batches
from pipeline.measuring.panel import Panel, panel_of
from pipeline.models import weights
from pipeline.tracking import tracked

COLUMNS = ["equations", "residual", "norm", "none", "once", "whole"]


@stage
def main(cfg: DictConfig) -> None:
    """Invert."""
    invert(cfg)


def invert(cfg: DictConfig) -> Path:
    """Write the table of `cfg.model`; return its path. Raises BadInput if the method inverts
    nothing, and if no picture shows an object."""
    device.seeded(cfg.seed)
    network = weights.load(cfg.model, device.chosen(cfg.device)).network
    explainer = instantiate(cfg.method, network)
    if not isinstance(explainer, NAFlow):
        raise BadInput(f"{explainer.name} inverts nothing: use method=naflow_damped.")
    images = instantiate(cfg.images)
    batches = Batches(cfg, images, network)
    tables: list[pd.DataFrame] = []
    for number in tqdm(range(len(batches)), desc=cfg.model.name, disable=cfg.quiet):
        panel = panel_of(cfg, images, network, batches.read(number))
        if panel is not None:
            tables += _one_by_one(cfg, explainer, panel)
    if not tables:
        raise BadInput(f"No picture of {images.name} shows an object beside a background.")
    table = of_units(pd.concat(tables), cfg.study.resamples, cfg.study.confidence, cfg.seed)
    path = Path(cfg.drawings) / f"{cfg.model.name}.csv"
    with tracked(cfg.tracking, f"invert-{cfg.model.name}", cfg) as run:
        with replacing(path) as partial:
            table.to_csv(partial, index=False, float_format="%.4f", lineterminator="\n")
        run.table("inverses", table)
    return path


def of_units(pictures: pd.DataFrame, resamples: int, confidence: float, seed: int) -> pd.DataFrame:
    """Average a table with one row per unit and picture to one row per unit, with intervals."""
    rows = []
    for unit, table in pictures.groupby("unit", sort=False):
        lead = (table["once"] - table["none"]).to_numpy()[:, None]
        mean, low, high = (ends[0] for ends in metrics.bootstrap(lead, resamples, confidence, seed))
        numbers = {"lead": mean, "low": low, "high": high}
        means = table[COLUMNS].mean().to_dict()
        rows.append({"unit": unit, "layer": table["layer"].iloc[0]} | means | numbers)
    return pd.DataFrame(rows)


def _one_by_one(cfg: DictConfig, explainer: NAFlow, panel: Panel) -> list[pd.DataFrame]:
    """Return one table per unit, with one row per picture."""
    score = panel.asked.score(panel.rows)
    none, whole = HiResCAM(explainer.model)(panel.images, score), explainer(panel.images, score)
    planned = explainer.plan(panel.images).units
    tables = []
    for below, unit in pairwise(planned):
        layer = below.layer
        if unit.forwards == 0 or not {layer, unit.layer} <= set(whole.layers):
            continue
        alone = instantiate(cfg.method, explainer.model, last=unit.layer)
        once = alone(panel.images, score, layers=[layer, unit.layer])
        stats = once.stats[layer]
        columns = {
            "equations": _equations(explainer, unit, once),
            "residual": stats.residual.numpy(),
            "norm": stats.norm_ratio.numpy(),
            "none": _ratio(none[layer], panel),
            "once": _ratio(once[layer], panel),
            "whole": _ratio(whole[layer], panel),
        }
        tables.append(pd.DataFrame({"unit": unit.layer, "layer": layer} | columns))
    if not tables:
        raise BadInput(f"{explainer.name} solves nothing here: choose a finite damping.")
    return tables


def _equations(explainer: NAFlow, unit: PlannedUnit, flow: Flow) -> np.ndarray:
    """Return the number of equations kept per unknown, (B,)."""
    kept = unit.outputs / unit.inputs
    if explainer.config.drop_abandoned:
        return kept * (1 - flow.stats[unit.layer].abandoned.numpy())
    return np.full(len(flow.score), kept)


def _ratio(maps: Tensor, panel: Panel) -> np.ndarray:
    """Return the energy ratio of maps, (B,); NaN for a map that is zero everywhere."""
    maps = maps.detach().clamp(min=0).cpu()
    ratio = metrics.energy_ratio(maps, panel.masks)
    return ratio.masked_fill(metrics.empty(maps), float("nan")).numpy()


if __name__ == "__main__":
    main()
