"""Write the page of the method's knobs from the tables of the study.

    python docs/method-study/knobs.py

Reads knobs/means.csv and inverses/NETWORK.csv beside it, and writes knobs.md.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipeline import markdown
from pipeline.atomic import replacing
from pipeline.measuring.thirds import THIRDS

FOLDER = Path(__file__).parent
NETWORKS = {"resnet18": "ResNet18", "resnet50": "ResNet50"}
MEASURES = {"ratio": "localisation", "gain": "faithfulness", "own": "class sensitivity"}
RULE = {
    "unused_contrast_False": "HiResCAM: neurons that the score does not use abandoned, no inverse",
    "unused_contrast_True": "the same, the class contrasted with the others",
    "opposing_contrast_False": "negative evidence abandoned, share a, the class alone",
    "opposing_contrast_True": "the same, the class contrasted with the others",
    "disputed_contrast_False": "negative evidence abandoned, share a^2, the class alone",
    "disputed_contrast_True": "`selective`: the same, the class contrasted with the others",
    "selective_proximal": "`selective` with the inverse `proximal`",
    "selective_damped": "`selective` with the inverse `damped`",
    "selective_inside": "`selective`, maps inside blocks, too",
}
INVERSE = {
    "damped_0": "`damped`, damping 0",
    "damped_0.1": "`damped`, damping 0.1",
    "damped_0.3": "`damped`, damping 0.3: the preset",
    "damped_1": "`damped`, damping 1",
    "damped_3": "`damped`, damping 3",
    "damped_all_rows": "`damped`, abandoned outputs kept in the equations, as 0",
    "damped_truncated": "`damped`, only the first n equations",
    "damped_positive": "`damped`, only positive contributions summed",
    "proximal_0": "`proximal`, damping 0",
    "proximal_0.3": "`proximal`, damping 0.3: the preset",
    "proximal_3": "`proximal`, damping 3",
}
HEAD = """\
# One knob at a time

Made by `python docs/method-study/knobs.py` from [means.csv](knobs/means.csv), which has the
intervals, and the tables of single inverses ([ResNet18](inverses/resnet18.csv),
[ResNet50](inverses/resnet50.csv)). {pictures} scenes. Cells are the shallow, middle and deep third
of the network's depth.
"""
UNITS = """
## A single inverse

The preset `damped`, one unit at a time: the localisation of the map at the unit's input without
an inverse (HiResCAM's), after this one inverse, which begins at the forward activation of the
unit's output, and after all inverses from the last layer on. The lead is that of this one inverse
over none; its interval is of 95 %, paired over pictures.
"""


def main() -> None:
    """Write the page."""
    means = pd.read_csv(FOLDER / "knobs" / "means.csv")
    inverses = {name: pd.read_csv(FOLDER / "inverses" / f"{name}.csv") for name in NETWORKS}
    with replacing(FOLDER / "knobs.md") as partial:
        partial.write_text(page(means, inverses), encoding="utf-8")


def page(means: pd.DataFrame, inverses: Mapping[str, pd.DataFrame]) -> str:
    """Return the page of these tables. Raises KeyError for a variant that has no name here."""
    unknown = set(means["method"]) - set(RULE) - set(INVERSE)
    if unknown:
        raise KeyError(f"Variants without a name in {Path(__file__).name}: {sorted(unknown)}.")
    of_rule, of_inverse = (markdown.table(_heads(), _rows(means, of)) for of in (RULE, INVERSE))
    head = HEAD.format(pictures=means["pictures"].max())
    return f"{head}\n## What is abandoned\n\n{of_rule}\n## The inverse\n\n{of_inverse}" + (
        UNITS + "".join(_of_units(name, table) for name, table in inverses.items())
    )


def _heads() -> list[str]:
    return ["variant", *(f"{of}, {name}" for of in MEASURES.values() for name in NETWORKS.values())]


def _rows(means: pd.DataFrame, variants: Mapping[str, str]) -> Iterator[list[str]]:
    found = means.set_index(["method", "measure", "model", "third"])["mean"]
    for variant, label in variants.items():
        cells = [
            " ".join(f"{found[variant, measure, model, third]:z.2f}" for third in THIRDS)
            for measure in MEASURES
            for model in NETWORKS
        ]
        yield [label, *cells]


def _of_units(name: str, table: pd.DataFrame) -> str:
    heads = ["unit", "equations for each unknown", "residual", "norm", "no inverse", "this one"]
    rows = [
        [
            row.unit,
            *(f"{x:.2f}" for x in (row.equations, row.residual, row.norm)),
            *(f"{x:.2f}" for x in (row.none, row.once, row.whole)),
            f"{row.lead:+z.2f} [{row.low:+z.2f}, {row.high:+z.2f}]",
        ]
        for row in table.itertuples()
    ]
    drawn = markdown.table([*heads, "all from the last layer", "lead"], rows)
    return f"\n### {NETWORKS[name]}\n\n{drawn}"


if __name__ == "__main__":
    main()
