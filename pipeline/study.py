"""Stage `study`: compare the measures of all methods on all models, with intervals.

    python -m pipeline.study results=results drawings=docs/method-study

Reads results/measured (stage `measure`), of `study.models` or of all, and writes, into `drawings`,

    means.csv     one row per model, method, third of the depth and measure, with its interval
    leads.csv     the same of `study.method` less each other method, paired over pictures, with
                  p-values of sign flips, Holm's correction over all rows of a measure
    places.csv    means over the layers of each kind: conv, bn, relu, maxpool, add, block, ...
    flows.csv     how the flows of every method change from layer to layer
    summary.md    means over the models
    sizes.csv     localisation by size of the object
    ../NAME.md    for drawings=.../NAME, the page made of these tables: numbers, intervals, who is
                  ahead of whom; unless study.page=false
    study.json    on how many models `study.method` is ahead of each other method, alike, behind
    ratio.png, gain.png, own.png   a measure against depth, one panel per model, one line per method
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm

from naflow import metrics
from naflow.errors import BadInput, near_names
from pipeline.app import stage
from pipeline.atomic import replacing, write_json
from pipeline.figures import depth, page
from pipeline.measuring import summary, thirds, told
from pipeline.measuring.columns import BASIC, EVERY
from pipeline.measuring.columns import measured as measures_of
from pipeline.tracking import tracked

MEASURES = tuple(BASIC)  # those that are drawn; the sanity checks add more to the tables
FLOWS = ["smoothness", "stabilisation", "drift"]
DIGITS = "%.5f"

Tables = dict[tuple[str, str], pd.DataFrame]  # (model, method) -> table


@stage
def main(cfg: DictConfig) -> None:
    """Study."""
    study(cfg)


def study(cfg: DictConfig) -> Path:
    """Write the tables and figures; return their folder. Raises BadInput if nothing has been
    measured, or not the method that the others are compared with."""
    folder, place = Path(cfg.results) / "measured", Path(cfg.drawings)
    measured, flows = (read(folder, ending, cfg.study.models) for ending in (".csv", ".flow.csv"))
    resampling = cfg.study.resamples, cfg.study.confidence, cfg.seed
    names = measures_of(measured.values())
    tables = {
        "means": joined(
            {
                key: thirds.means(table, names, *resampling)
                for key, table in tqdm(measured.items(), desc="means", disable=cfg.quiet)
            }
        ),
        "leads": leads(measured, cfg.study.method, names, *resampling),
        "places": joined({key: of_places(table) for key, table in measured.items()}),
        "flows": joined({key: table[FLOWS].mean().to_frame().T for key, table in flows.items()}),
        "sizes": joined({key: thirds.by_size(table) for key, table in measured.items()}),
    }
    with tracked(cfg.tracking, "study", cfg) as run:
        for name, table in tables.items():
            with replacing(place / f"{name}.csv") as partial:
                table.to_csv(partial, index=False, float_format=DIGITS, lineterminator="\n")
            run.table(name, table)
    if cfg.study.page:
        told.write(place)
    counts = tally(tables["leads"], 1 - cfg.study.confidence)
    write_json(place / "study.json", counts)
    with replacing(place / "summary.md") as partial:
        text = summary.text(tables["means"], counts, cfg.study.method)
        partial.write_text(text, encoding="utf-8")
    for measure in MEASURES:
        figure = depth.draw(measured, measure, *resampling)
        page.publish(figure, place / measure)
    return place


def read(folder: Path, ending: str, models: Sequence[str] | None) -> Tables:
    """Read the tables of every method that is fully measured on these models (None: on all). Raises
    BadInput if there are none, or a model was not measured."""
    done = sorted(folder.glob("*/*.json"))
    there = {path.parent.name for path in done}
    for model in models or ():
        if there and model not in there:
            raise BadInput(
                f"study.models names {model}, which was not measured.{near_names(model, there)}"
            )
    done = [path for path in done if models is None or path.parent.name in models]
    if not done:
        raise BadInput(f"{folder} holds no measures. Make them: python -m pipeline.measure.")
    return {
        (path.parent.name, path.stem): pd.read_csv(path.with_suffix(ending), keep_default_na=True)
        for path in done
    }


def leads(
    measured: Tables,
    ours: str,
    measures: Sequence[str],
    resamples: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Return one row per model, other method, third and measure: how far `ours` is ahead. Raises
    BadInput if `ours` was not measured."""
    methods = {method for _, method in measured}
    if ours not in methods:
        raise BadInput(f"study.method={ours} was not measured.{near_names(ours, methods)}")
    table = joined(
        {
            (model, method): thirds.lead(
                measured[model, ours], other, measures, resamples, confidence, seed
            )
            for (model, method), other in measured.items()
            if method != ours and (model, ours) in measured
        }
    )
    corrected = table.groupby("measure")["p"].transform(lambda p: metrics.holm(p.to_numpy()))
    return table.rename(columns={"method": "less"}).assign(holm=corrected)


def of_places(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per kind of layer: the number of such layers, and the mean of each measure.

    The kind is the last part of a layer's name without its number; only a number means a block.
    """
    last = table["layer"].str.rsplit(".", n=1).str[-1].str.split("#").str[0]
    kind = last.str.rstrip("0123456789").replace("", "block")
    groups = table.groupby(kind.rename("place"))
    means = groups[list(MEASURES)].mean()
    means.insert(0, "layers", groups["layer"].nunique())
    return means.reset_index()


def joined(tables: Tables) -> pd.DataFrame:
    """Join tables to one, with their keys in two columns."""
    frames: Any = tables  # the stubs of pandas do not allow pairs as keys
    table = pd.concat(frames, names=["model", "method"])
    return table.reset_index([0, 1]).reset_index(drop=True)


def tally(leads: pd.DataFrame, level: float) -> dict:
    """Return other method -> measure -> third -> on how many models ours is ahead, alike, behind.
    Ahead and behind need a corrected p-value below the level."""
    sure = leads["holm"] < level
    better = leads["lead"] * leads["measure"].map({name: m.sign for name, m in EVERY.items()})
    rows = leads.assign(ahead=sure & (better > 0), behind=sure & (better < 0), alike=~sure)
    rows = rows[leads["p"].notna()]
    counts = rows.groupby(["less", "measure", "third"])[["ahead", "alike", "behind"]].sum()
    tree: dict = {}
    for (other, measure, third), row in counts.iterrows():
        numbers = {name: int(count) for name, count in row.items()}
        tree.setdefault(other, {}).setdefault(measure, {})[third] = numbers
    return tree


if __name__ == "__main__":
    main()
