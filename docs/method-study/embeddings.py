"""Write the table of five similarity models side by side from the tables of contrast.sh.

    python docs/method-study/embeddings.py

Reads contrast/means.csv beside it, and writes embeddings.md.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline import markdown
from pipeline.atomic import replacing
from pipeline.measuring.thirds import THIRDS

FOLDER = Path(__file__).parent
NETWORKS = {
    "resnet18_npid": "ResNet18-NPID",
    "resnet50_npid": "ResNet50-NPID",
    "resnet50_ms": "ResNet50-MS",
    "conv64f": "Conv64F",
    "protonet": "ProtoNet's Conv-4, birds",
}
MEASURES = {
    "ratio": "ratio to the object's area",
    "gain": "insertion - deletion",
    "own": "class sensitivity",
    "absent_rank": "random reference: correlation",
}
HEAD = """\
# A similarity as the paper explains it, and contrasted

Made by `python docs/method-study/embeddings.py` from [means.csv](contrast/means.csv), which has the
intervals and the numbers of pictures; [the whole page](contrast.md) says who is ahead. Explained by
Eqs 17-21 and, beside it, contrasted with the similarity to other pictures; {pictures} pictures a
network. Cells are the shallow, middle and deep third of the network's depth; -: not measured, or
all maps are empty. The correlation should be low, all else high.
"""


def main() -> None:
    """Write the page."""
    means = pd.read_csv(FOLDER / "contrast" / "means.csv")
    with replacing(FOLDER / "embeddings.md") as partial:
        partial.write_text(page(means), encoding="utf-8")


def page(means: pd.DataFrame) -> str:
    """Return the page of this table. Raises KeyError for a network that has no name here."""
    unknown = set(means["model"]) - set(NETWORKS)
    if unknown:
        raise KeyError(f"Networks without a name in {Path(__file__).name}: {sorted(unknown)}.")
    heads = [head for measure in MEASURES.values() for head in (measure, "contrasted")]
    sections = (
        f"\n## {title}\n\n{markdown.table(['network', *heads], _rows(means, method))}"
        for method, title in (("naflow", "`selective`"), ("naflow_tested", "`tested`"))
    )
    return HEAD.format(pictures=means["pictures"].max()) + "".join(sections)


def _rows(means: pd.DataFrame, method: str) -> Iterator[list[str]]:
    found = means.set_index(["model", "method", "measure", "third"])["mean"]
    for model, label in NETWORKS.items():
        thirds = (
            [found[model, asked, measure, third] for third in THIRDS]
            for measure in MEASURES
            for asked in (method, f"{method}_contrast")
        )
        yield [label, *(_cell(numbers) for numbers in thirds)]


def _cell(numbers: list[float]) -> str:
    if all(map(pd.isna, numbers)):
        return "-"
    return " ".join("-" if pd.isna(number) else f"{number:z.2f}" for number in numbers)


if __name__ == "__main__":
    main()
