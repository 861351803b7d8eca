"""Check the claims that apply to any classifier on many photographs, and write a page.

    python -m pipeline.claims.checked results=outputs/claims drawings=docs/method-study/claims

Reads the maps of every model in `results` (stage `explain`, on pictures with masks), by Grad-CAM
and the methods `checked`. Writes `drawings`.md and `drawings`/claims.csv: each claim, defined as
for the figures, on the means over all pictures and on each picture alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from naflow import metrics
from naflow.blocks import block_ends
from naflow.errors import BadInput
from naflow.methods import label
from pipeline import markdown
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.claims.background import BackgroundFalls
from pipeline.claims.claim import Claim, Verdict
from pipeline.claims.inside import AheadInside
from pipeline.claims.last import LastIsGradCAM
from pipeline.explanations import maps
from pipeline.explanations.maps import Maps
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection
from pipeline.material.view import Material

OTHER = "gradcam"
TOLERANCE = 0.001  # as in conf/figures.yaml
OUTCOMES = {True: "holds", False: "**does not hold**", None: "not checked"}
NOT_HERE = (
    "Two more of the text's claims are about other networks: that a ResNet18 by NPID is unstable "
    "where a ResNet50 is stable, and that Conv4Net attends to the same parts of a query and its "
    "match where Conv64F does not. They are checked [on the figures](../figures.md) alone."
)


@stage
def main(cfg: DictConfig) -> None:
    """Check the claims."""
    checked(cfg)


def checked(cfg: DictConfig) -> Path:
    """Write the page and its table; return the page's path. Raises BadInput if maps are missing."""
    folder, place = Path(cfg.results) / "maps", Path(cfg.drawings)
    models = sorted(path.name for path in folder.glob("*") if (path / OTHER).is_dir())
    if not models:
        raise BadInput(f"{folder} holds no maps of {OTHER}. Make them: python -m pipeline.explain.")
    rows = []
    for model in models:
        found = {one: maps.load(folder / model / one) for one in (OTHER, *cfg.checked)}
        resampling = cfg.study.resamples, cfg.study.confidence, cfg.seed
        rows += [one | {"model": model} for one in of_model(found, cfg.checked, resampling)]
    table = pd.DataFrame(rows)
    with replacing(place / "claims.csv") as partial:
        table.to_csv(partial, index=False, float_format="%.4f", lineterminator="\n")
    page = place.with_suffix(".md")
    with replacing(page) as partial:
        partial.write_text(told(table, cfg.checked, place.name), encoding="utf-8")
    return page


def of_model(
    found: Mapping[str, Maps], methods: Sequence[str], resampling: tuple[int, float, int]
) -> Iterator[dict]:
    """Yield a row per claim and method: the outcome, and the share of pictures where it holds."""
    whole = material(found)
    each = [alone(whole, one) for one in whole.selection.chosen]
    for method in methods:
        for claim in claims(method, blocks(found, method)):
            verdict = claim(whole)
            single = [claim(one).holds for one in each]
            known = np.array([float(one) for one in single if one is not None])
            share = metrics.bootstrap(known[:, None], *resampling) if len(known) else None
            yield row(method, verdict, len(known)) | interval(share)


def claims(method: str, layers: list[str]) -> list[Claim]:
    """Return the text's claims about any classifier."""
    return [
        AheadInside(method, OTHER, layers),
        BackgroundFalls(method, layers),
        LastIsGradCAM(method, TOLERANCE),
    ]


def material(found: Mapping[str, Maps]) -> Material:
    """Return the material of all pictures that have maps."""
    first = found[OTHER]
    chosen = tuple(
        Chosen(Decision(case.picture, case.picture, name, first.predicted(row) or "", 0.0))
        for row, (case, name) in enumerate(zip(first.cases, first.labels, strict=True))
    )
    rule = "the first pictures, the collections in turn"
    selection = Selection("claims", first.manifest["model"], rule, True, chosen)
    return Material(selection, found, found)


def alone(whole: Material, one: Chosen) -> Material:
    """Return the material of a single picture."""
    return replace(whole, selection=replace(whole.selection, chosen=(one,)))


def blocks(found: Mapping[str, Maps], method: str) -> list[str]:
    """Return the last layers of the network's blocks of which a method has a map. A preset may
    merge units, and then lacks maps of those inside."""
    sizes = {layer: values.shape[1:] for layer, values in found[OTHER].maps.items()}
    return [one for one in block_ends(sizes) if one in found[method].maps]


def row(method: str, verdict: Verdict, pictures: int) -> dict:
    """Return a row of the table, without its interval."""
    return {
        "method": method,
        "claim": verdict.claim,
        "outcome": OUTCOMES[verdict.holds],
        "told": verdict.told,
        "reading": verdict.reading,
        "pictures": pictures,
    }


def interval(share: metrics.Estimate | None) -> dict[str, float]:
    """Return the columns of a share and its interval; NaN for None."""
    ends = [np.nan] * 3 if share is None else [float(one[0]) for one in share]
    return dict(zip(("share", "low", "high"), ends, strict=True))


def told(table: pd.DataFrame, methods: Sequence[str], folder: str) -> str:
    """Return the page as Markdown."""
    count = int(table["pictures"].max())
    parts = [
        "# The paper's claims on photographs\n\n"
        "Made by `sh docs/method-study/claims.sh`: the claims of the paper's text that can be "
        f"checked on any classifier, for each NAFlow, on {count} photographs with masks of the "
        "half that no rule was chosen on, at the ends of the network's blocks, as far as a method "
        "has maps of them (the authors' code merges units). A claim is read as "
        "[the figures](../figures.md) read it, on the means over all pictures. Beside it: on how "
        "many of the pictures, each taken alone, it holds, with an interval of 95 % (resampled "
        f"over pictures).\n\n{NOT_HERE}\n"
    ]
    models = list(dict.fromkeys(table["model"]))
    heads = ["method", *(f"{model}: hold, do not, not checked" for model in models)]
    rows = [[label(one), *(tally(table, model, one) for model in models)] for one in methods]
    parts.append(markdown.table(heads, rows))
    for model in models:
        rows = []
        for _, same in table[table["model"] == model].groupby("reading", sort=False):
            rows += [
                [one["outcome"], one["claim"], one["told"], single(one)]
                for _, one in same.iterrows()
            ]
        heads = ["", "what the text says", "numbers", "picture by picture"]
        parts.append(f"## {model}\n\n{markdown.table(heads, rows)}")
    readings = dict.fromkeys(table["reading"])
    parts.append("## How they were read\n\n" + "".join(f"- {one}\n" for one in readings))
    parts.append(f"All numbers: [claims.csv]({folder}/claims.csv).\n")
    return "\n".join(parts)


def tally(table: pd.DataFrame, model: str, method: str) -> str:
    """Return how many claims of a method hold on a model, do not, and were not checked."""
    own = table[(table["model"] == model) & (table["method"] == method)]["outcome"]
    return ", ".join(str(int((own == outcome).sum())) for outcome in OUTCOMES.values())


def single(one: pd.Series) -> str:
    """Return the number and share of the pictures where a claim holds, with interval, as text."""
    if not one["pictures"]:
        return ""
    holds = round(one["share"] * one["pictures"])
    return f"{holds} of {one['pictures']}: {one['share']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"


if __name__ == "__main__":
    main()
