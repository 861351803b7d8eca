"""Write the text of docs/method-study/quantus.md from the tables."""

from __future__ import annotations

import pandas as pd

from bench.quantus.judge import RUNS, STEPS, TESTS
from naflow.methods import label
from pipeline.measuring.told import sentences, table

OURS = ("naflow_tested", "naflow")
GROUPS = {
    "Localisation": ("attribution", "rank", "pointing"),
    "Faithfulness": ("flipping", "correlation"),
    "Randomisation": ("logit", "parameters", "ssim"),
}
LEAST = 0.5  # a mean is shown only if its test has a value for this share of the pictures

_HEAD = """# Others' benchmark as the judge: Quantus

Made by `sh docs/method-study/quantus.sh`: Quantus {version} judges the maps with its own code
(Hedström et al., JMLR 24(34), 2023), on EfficientNet-Lite0 and {pictures} photographs with masks,
pets and airplanes, of the half that no rule was chosen on. Cells are the layer in the middle of the
shallow, middle and deep third of the network's blocks; the class is the predicted one; intervals
are of 95 %, resampled over pictures and paired. Arrows say which way is better, in Quantus's own
words.

Its settings are Quantus's defaults, but for these: pixel flipping takes {steps} steps (one pixel at
a time would be 150,528), and the mean of its curve is given; faithfulness correlation takes {runs}
runs, the same for every method and layer; random logit is asked with Spearman's correlation beside
its SSIM of flattened maps; of the model parameter randomisation the last stage is looked at, when
every layer is random. Maps are enlarged bilinearly to the picture, their negative part cut off, as
everywhere in this study.

Quantus refuses a map that is zero everywhere. For the predicted class such a map counts in no test
(last table). For a random class or a random network it is the answer that there is nothing: it has
no ranks, so it correlates by 0; it has no SSIM, which is told where at least half of the pictures
have one.
"""


def page(means: pd.DataFrame, leads: pd.DataFrame, version: str, folder: str) -> str:
    """Return the page. means, leads: from pipeline.measuring.thirds, with a column `method`."""
    pictures = int(means["pictures"].max())
    told = _judged(means, pictures)
    parts = [_HEAD.format(version=version, pictures=pictures, steps=STEPS, runs=RUNS)]
    for group, names in GROUPS.items():
        shown = {name: _titled(name) for name in names}
        parts.append(f"## {group}\n\n{table(told, shown, OURS[0])}")
    parts.append("## What the numbers say\n")
    compared = {name: test.measure for name, test in TESTS.items() if name != "ssim"}
    for ours in OURS:
        own = leads[leads["method"] == ours]
        parts.append(f"**{label(ours)}**. {tally(own, ours)}\n")
        parts.append("".join(f"- {one}\n" for one in sentences(own, ours, compared)))
    empty = {
        "empty": "the predicted class",
        "logit_empty": "a random class",
        "parameters_empty": "a random network",
    }
    parts.append(f"## Share of the maps that are empty\n\n{table(means, empty, OURS[0])}")
    parts.append(
        f"Tables: [means]({folder}/means.csv) and [paired differences]({folder}/leads.csv), each "
        "with intervals and the number of pictures.\n"
    )
    return "\n".join(parts)


def tally(leads: pd.DataFrame, ours: str) -> str:
    """Return in how many comparisons of each group of tests `ours` is ahead, level and behind."""
    told = []
    for group, names in GROUPS.items():
        rows = leads[leads["measure"].isin(set(names) - {"ssim"})]
        sign = rows["measure"].map({name: TESTS[name].measure.sign for name in names})
        ends = pd.concat([sign * rows["low"], sign * rows["high"]], axis=1)
        ahead, behind = int((ends.min(axis=1) > 0).sum()), int((ends.max(axis=1) < 0).sum())
        level = len(rows) - ahead - behind
        told.append(f"{group.lower()} ahead {ahead}, level {level}, behind {behind}")
    return (
        f"Of the comparisons of `{ours}` to each other method, at each depth and by each test: "
        f"{'; '.join(told)}."
    )


def _titled(name: str) -> str:
    measure = TESTS[name].measure
    return f"{measure.title} {'↑' if measure.sign > 0 else '↓'}"


def _judged(means: pd.DataFrame, pictures: int) -> pd.DataFrame:
    """Return the table with NaN for means over fewer than LEAST of the pictures."""
    few = means["pictures"] < LEAST * pictures
    return means.assign(mean=means["mean"].mask(few))
