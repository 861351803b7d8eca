"""Stage `evaluate`: localisation of the maps of every method, layer by layer.

    python -m pipeline.evaluate results=results

Reads every finished folder results/maps/model/method whose pictures have masks or boxes. Writes

    results/evaluation/localisation.csv  one row per model, method and layer: means and intervals
    results/evaluation/paired.csv        the same of `evaluate.method` less each other method
    figures/evaluation.json              mean energy ratio: over all layers, and of three of them

and draws the means as the figure `localisation`.

Cases of the same picture are averaged first, so pictures, not cases, are resampled for the
intervals. A map that is zero everywhere is counted as undefined and left out.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from naflow import metrics
from naflow.errors import BadInput, near_names
from naflow.methods import ordered
from pipeline import profile
from pipeline.app import stage
from pipeline.atomic import replacing, write_json
from pipeline.explanations import recorded
from pipeline.explanations.maps import Maps, load
from pipeline.explanations.objects import measurable, objects
from pipeline.figures import localisation, page
from pipeline.tracking import tracked

log = logging.getLogger(__name__)

MEASURES = ["share", "ratio", "interference", "pointing"]
ROW = ["layer", "picture", "reference"]
DIGITS = "%.6f"  # enough for comparisons, few enough to be the same on every machine

Tables = dict[tuple[str, str], pd.DataFrame]  # (model, method) -> table


@stage
def main(cfg: DictConfig) -> None:
    """Evaluate all finished maps."""
    evaluate(cfg)


def evaluate(cfg: DictConfig) -> Path:
    """Write results/evaluation; return that folder. Under a profile, maps of other profiles are
    left out. Raises BadInput if there are no finished maps, or no picture has a mask or box.
    """
    wanted = profile.shown(cfg.knobs) if cfg.knobs else None
    results = Path(cfg.results)
    folders = sorted(path.parent for path in results.glob("maps/*/*/manifest.json"))
    if not folders:
        raise BadInput(
            f"{results}/maps holds no finished maps. "
            "Make them: python -m pipeline.explain, or dvc repro."
        )
    cases: Tables = {}
    names: dict[str, str] = {}
    for folder in tqdm(folders, desc="evaluate", disable=cfg.quiet):
        loaded = load(folder)
        if not profile.current(loaded.manifest, wanted):
            log.warning("%s: maps of another profile; left out.", folder)
            continue
        table = measured(loaded, cfg.evaluate.tolerance)
        if table.empty:
            log.warning("%s: no picture shows an object beside a background; left out.", folder)
        else:
            cases[folder.parent.name, folder.name] = table
            names[folder.name] = loaded.manifest["method"]
    if not cases:
        raise BadInput(f"{results}: no picture explained has a mask or box to measure against.")
    means = {key: estimated(table, cfg) for key, table in cases.items()}
    tables = {
        "localisation": joined(means, ["model", "method"]),
        "paired": joined(paired(cases, cfg), ["model", "less"]),
    }
    folder = results / "evaluation"
    with tracked(cfg.tracking, "evaluate", cfg) as run:
        for name, table in tables.items():
            with replacing(folder / f"{name}.csv") as partial:
                table.to_csv(partial, index=False, float_format=DIGITS, lineterminator="\n")
            run.table(name, table)
    write_json(Path(cfg.drawings) / "evaluation.json", in_short(means))
    publish(tables["localisation"], names, cfg)
    return folder


def publish(table: pd.DataFrame, names: dict[str, str], cfg: DictConfig) -> None:
    """Draw figure `localisation` as PNG and PDF, and write its caption as JSON."""
    shown = {method: names[method] for method in ordered(names)}
    figure = localisation.draw(table, shown)
    place = Path(cfg.drawings) / "localisation"
    page.publish(figure, place)
    words = {"figure": place.name, "title": localisation.TITLE}
    caption = localisation.caption(table, shown, cfg.evaluate.confidence)
    write_json(place.with_suffix(".json"), words | {"caption": caption})


def measured(found: Maps, tolerance: float) -> pd.DataFrame:
    """Measure one folder of maps: one row per case and layer, NaN for an empty map.

    tolerance: of the pointing game, as a share of the picture's side. Only pictures with object and
    background count; of signed maps the positive part is measured.
    """
    masks = objects_of(found)
    kept = measurable(masks)
    if not kept.any():
        return pd.DataFrame()
    cases = [case for case, keep in zip(found.cases, kept.tolist(), strict=True) if keep]
    tables = []
    for layer, values in found.maps.items():
        maps = torch.from_numpy(values)[kept].clamp(min=0)
        parts = [  # resized to the masks, the maps of many pictures would be too large
            scores(*part, round(tolerance * masks.shape[-1]))
            for part in zip(maps.split(64), masks[kept].split(64), strict=True)
        ]
        rows = [(layer, case.picture, case.reference) for case in cases]
        table = pd.DataFrame(rows, columns=ROW)
        table[MEASURES] = np.concatenate(parts)
        tables.append(table)
    return pd.concat(tables)


def objects_of(found: Maps) -> Tensor:
    """Return the object of each case's picture, boolean (N, size, size)."""
    seen = found.manifest["settings"]["model"]["input"]
    ids, images = [case.picture for case in found.cases], recorded.images(found.manifest)
    return objects(images, ids, seen["size"], seen["fit"])


def scores(maps: Tensor, masks: Tensor, tolerance: int) -> np.ndarray:
    """Return the measures of a batch of maps, (B, measures); a row of NaN for an empty map."""
    columns = [
        metrics.energy_share(maps, masks),
        metrics.energy_ratio(maps, masks),
        metrics.interference(maps, masks),
        metrics.pointing_game(maps, masks, tolerance),
    ]
    table = torch.stack(columns, dim=1)
    return table.masked_fill(metrics.empty(maps)[:, None], torch.nan).numpy()


def paired(cases: Tables, cfg: DictConfig) -> Tables:
    """Return (model, other method) -> estimates of `evaluate.method` less the other, over cases for
    which both have maps. Raises BadInput if there are no maps of that method."""
    ours, methods = cfg.evaluate.method, {method for _, method in cases}
    if ours not in methods:
        raise BadInput(
            f"evaluate.method={ours}: there are no maps of it.{near_names(ours, methods)}"
        )
    tables = {}
    for (model, method), table in cases.items():
        if method == ours or (model, ours) not in cases:
            continue
        first, second = (t.set_index(ROW) for t in (cases[model, ours], table))
        both = first.index.intersection(second.index, sort=False)
        if len(both):
            less = first.loc[both] - second.loc[both]
            tables[model, method] = estimated(less.reset_index(), cfg)
    return tables


def estimated(cases: pd.DataFrame, cfg: DictConfig) -> pd.DataFrame:
    """Return one row per layer: numbers of cases, pictures and undefined cases, and for each
    measure the mean over pictures with its interval, as in ratio, ratio_low, ratio_high."""
    by_layer = cases.groupby("layer", sort=False)
    table = pd.DataFrame(
        {
            "cases": by_layer.size(),
            "pictures": by_layer["picture"].nunique(),
            "undefined": cases["share"].isna().groupby(cases["layer"], sort=False).sum(),
        }
    )
    wide = cases.groupby(["picture", "layer"])[MEASURES].mean().unstack("layer")
    estimate = metrics.bootstrap(
        wide.to_numpy(),
        resamples=cfg.evaluate.resamples,
        confidence=cfg.evaluate.confidence,
        seed=cfg.seed,
    )
    for measure in MEASURES:
        for end, values in zip(("", "_low", "_high"), estimate, strict=True):
            of_layer = pd.Series(values, wide.columns)[measure]
            table[measure + end] = of_layer.reindex(table.index)
    return table.reset_index()


def joined(tables: Tables, names: list[str]) -> pd.DataFrame:
    """Join tables to one, with their keys in two columns; without tables, return these columns."""
    if not tables:
        return pd.DataFrame(columns=names)
    return pd.concat(tables).droplevel(2).rename_axis(names).reset_index()


def in_short(means: Tables) -> dict:
    """Return model -> method -> mean energy ratio over all layers, and of the first, middle and
    last layer; None if every map is empty."""
    short: dict[str, dict] = {}
    for (model, method), table in means.items():
        ratio = table["ratio"]
        numbers = {
            "layers": ratio.mean(),
            "first": ratio.iloc[0],
            "middle": ratio.iloc[len(ratio) // 2],
            "last": ratio.iloc[-1],
        }
        short.setdefault(model, {})[method] = {
            key: None if pd.isna(value) else round(float(value), 6)
            for key, value in numbers.items()
        }
    return short


if __name__ == "__main__":
    main()
