"""Write the text of docs/method-study/sanity.md from the tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.sanity.cascade import STAGES
from bench.sanity.labels import EPOCHS, LEARNT, SIZE
from naflow.methods import METHODS, label
from pipeline import markdown
from pipeline.measuring.columns import Measure
from pipeline.measuring.thirds import THIRDS
from pipeline.measuring.told import sentences, table

OURS = ("naflow_tested", "naflow")
DRAWN = ("classifier", "head", "stages.4", "stages.2", "stages.0", "stem")
COMPARED = {
    "rank classifier": Measure("", "a random classifier", -1),
    "rank stem": Measure("", "an untrained network", -1),
    "labels": Measure("", "shuffled labels (again less shuffled)"),
    "pair": Measure("", "two pictures of one class", -1),
}

_HEAD = """# Does a map go when what it should depend on goes?

Made by `sh docs/method-study/sanity.sh`; every number below is read from its tables. Cells are the
layer in the middle of the shallow, middle and deep third of the blocks of EfficientNet-Lite0. Rank
correlations are Spearman's, of maps averaged to at most 28 cells a side. A map that became empty,
which says that nothing speaks for the class, correlates by 0; where the true map is empty, there is
no correlation. Intervals are of 95 %, resampled over pictures and paired, and not corrected for
many comparisons. `mean_activation` is a control that knows no class. A method whose maps stay
explains something else; a lower number beyond that does not make a method better (Binder et al.,
CVPR 2023).
"""
_CASCADE = """The published network and {pictures} photographs with masks, pets and airplanes, of
the half that no rule was chosen on; the class is the predicted one. The weights of one stage after
the other become random, from the classifier to the stem (Adebayo et al., NeurIPS 2018): the map's
rank correlation with that of the intact network once this stage and all behind it are random; it
should be low. With the stem no weight is trained."""
_UNTRAINED = """The same maps' share on the object, with the network intact, with a random
classifier and untrained, and the share of the maps that are empty. An empty map has no share: of
`naflow_tested` the second and third columns are over {classifier} and {stem} photographs."""
_KEPT = """Of the intact network: the sum of the map over that of the last feature map's (`head`).
Where places are many, `naflow` and `naflow_tested` keep little: at every layer a share of what the
layer behind it kept. Their shallow maps tell where, and not how much. `clrp` and `sglrp` draw what
relevance for the class exceeds that for the others by, which cancel more and more."""
_PAIRS = """{pairs} pairs of photographs of the same half that the published network gives one
class, a pair a class: the rank correlation of their two maps, which should be low. The control
`centre`, the same map for every picture, has 1."""
_LABELS = """Three EfficientNet-Lite0s, untrained at first, learn {learnt} photographs of three
classes ({size} px; airplanes with masks, faces and motorcycles with boxes) by heart, without
augmentation and in at most {epochs} epochs: two with their labels, the second, `again`, from other
first weights, and one, from others still, with the labels shuffled. {pictures} of these photographs
whose label changed are explained, each for the label that was learnt, and the map is compared with
that of the first network. `again` should be high and `shuffled` below it: a map depends on the
labels as far as shuffling them lowers its correlation more than another training does. The deep
maps have 3 x 3 cells. There is one training of each."""
_SAID = """Ahead is what is lower, but for shuffled labels, where it is what differs more; numbers
are signed so that more is better.
"""


def page(means: pd.DataFrame, leads: pd.DataFrame, folder: str) -> str:
    """Return the page. means, leads: from bench.summaries."""

    def pictures(measure: str, method: str | None = None) -> int:
        rows = means[means["measure"] == measure]
        return int(rows[rows["method"] == (method or rows["method"])]["pictures"].max())

    def drawn(shown: Mapping[str, str]) -> str:
        return table(means, shown, OURS[0])

    networks = {"true": "true labels", "again": "again", "shuffled": "shuffled"}
    parts = [
        _HEAD,
        "## Random weights\n",
        _CASCADE.format(pictures=pictures("share")) + "\n",
        drawn({f"rank {stage}": f"to {stage}" for stage in DRAWN}),
        _UNTRAINED.format(
            classifier=pictures("share classifier", OURS[0]), stem=pictures("share stem", OURS[0])
        )
        + "\n",
        drawn(
            {"share": "intact", "share classifier": "random classifier", "share stem": "untrained"}
            | {"empty": "intact: empty", "empty classifier": "random classifier: empty"}
            | {"empty stem": "untrained: empty"}
        ),
        "## Shuffled labels\n",
        _LABELS.format(learnt=LEARNT, size=SIZE, epochs=EPOCHS, pictures=pictures("rank shuffled"))
        + "\n",
        drawn(
            {f"rank {name}": f"correlation, {networks[name]}" for name in ("again", "shuffled")}
            | {"labels": "again less shuffled"}
            | {f"share {name}": f"on the object, {said}" for name, said in networks.items()}
            | {"empty true": "true: empty", "empty shuffled": "shuffled: empty"}
        ),
        "## Another picture\n",
        _PAIRS.format(pairs=pictures("pair")) + "\n",
        drawn({"pair": "two pictures of one class"}),
        "## What is kept of the score\n",
        _KEPT + "\n",
        _shares_kept(means),
        "## What the numbers say\n",
        _SAID,
    ]
    for ours in OURS:
        own = leads[(leads["method"] == ours) & ~leads["less"].map(_control)]
        parts.append(f"**{label(ours)}**\n")
        parts.append("".join(f"- {one}\n" for one in sentences(own, ours, COMPARED)))
    parts.append(
        f"Tables: [means]({folder}/means.csv) of all {len(STAGES)} stages and [paired "
        f"differences]({folder}/leads.csv), each with intervals and the number of pictures.\n"
    )
    return "\n".join(parts)


def _shares_kept(means: pd.DataFrame) -> str:
    """Return the table of what is kept, whose numbers span magnitudes."""
    kept = means[means["measure"] == "kept"].set_index(["method", "third"])["mean"]
    rows = [
        [f"`{method}`", " ".join(f"{kept[method, third]:.2g}" for third in THIRDS)]
        for method in dict.fromkeys(means["method"])
        if not METHODS[method].control
    ]
    return markdown.table(["method", "sum of the map, of the last map's"], rows)


def _control(method: str) -> bool:
    return METHODS[method].control
