"""The page of a study, made from its tables: numbers, intervals, and sentences.

    python -m pipeline.measuring.told docs/method-study/classifiers

writes docs/method-study/classifiers.md from means.csv, leads.csv and, if it exists, sizes.csv of
that folder. Stage `study` does the same.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from naflow.errors import BadInput
from pipeline import markdown
from pipeline.atomic import replacing
from pipeline.measuring.columns import EVERY, Measure
from pipeline.measuring.thirds import THIRDS

SHOWN = {
    "share": "share on the object",
    "ratio": "ratio to its area",
    "own": "class sensitivity",
    "gain": "insertion - deletion",
    "redrawn_rank": "random last layer: rank correlation",
    "absent_rank": "absent class: rank correlation",
}
QUESTIONED = {
    "empty": "predicted class: empty",
    "redrawn_empty": "random last layer: empty",
    "redrawn_share": "its others: share on the object",
    "absent_empty": "absent class: empty",
    "absent_share": "its others: share on the object",
}
COMPARED = {
    name: EVERY[name] for name in ("share", "ratio", "own", "gain", "redrawn_rank", "absent_rank")
}

RANDOMISED = "does it go when what it should depend on goes"
#: Of a similarity a reference is asked for in place of a class.
REFERENCE = {
    "predicted class": "reference",
    "an absent class": "a random reference",
    "absent class": "random reference",
}


def told_of(
    means: pd.DataFrame, leads: pd.DataFrame, sizes: pd.DataFrame | None, ours: str, folder: str
) -> str:
    """Return the page of one study, as Markdown.

    means, leads, sizes  the tables that stage `study` writes; sizes may be None
    ours                 the method that the others are compared with
    folder               the name of the folder that holds the tables
    """
    known = set(means[means["mean"].notna()]["measure"])
    sane, redrawn = "absent_empty" in known, "redrawn_empty" in known
    questions = ["is the map on the object", "does it follow the class"]
    questions += ["does what it points at decide", *([RANDOMISED] if sane else ())]
    parts = [
        f"# `{ours}` beside other methods: {folder}\n\n"
        "Made by `python -m pipeline.study`; every number below is read from its tables. Cells are "
        "the shallow, middle and deep third of the network's depth; intervals are of 95 %, "
        f"resampled over pictures. The questions: {_and(questions)}? Rank correlations should be "
        "low, all other numbers high.\n"
    ]
    for model, of_model in means.groupby("model", sort=False):
        parts.append(
            _of_model(str(model), of_model, leads[leads["model"] == model], ours, sane, redrawn)
        )
        if sizes is not None:
            parts.append(
                "By size of the object (mean share; median ratio):\n\n"
                + _sizes(sizes[sizes["model"] == model], ours)
            )
    parts.append(
        f"Tables: [means]({folder}/means.csv) and [paired differences]({folder}/leads.csv), each "
        "with intervals" + (f", [sizes]({folder}/sizes.csv).\n" if sizes is not None else ".\n")
    )
    return "\n".join(parts)


def _of_reference(words: str) -> str:
    """Return the words for a measure of classes as those for one of references."""
    for word, other in REFERENCE.items():
        words = words.replace(word, other)
    return words


def _of_model(
    model: str, means: pd.DataFrame, leads: pd.DataFrame, ours: str, sane: bool, redrawn: bool
) -> str:
    """Return the section of one model. sane: whether the sanity checks were measured; redrawn:
    that with a random last layer, too."""
    shown, questioned, compared = SHOWN, QUESTIONED, COMPARED
    if sane and not redrawn:  # the last layer's randomisation is checked of classes alone
        shown = {name: _of_reference(title) for name, title in SHOWN.items()}
        questioned = {name: _of_reference(title) for name, title in QUESTIONED.items()}
        compared = {n: one._replace(words=_of_reference(one.words)) for n, one in COMPARED.items()}
    pictures = {m: _pictures(means, ours, m) for m in ("ratio", "own", "gain")}
    text = (
        f"## {model}\n\n{pictures['ratio']} pictures, {pictures['own']} pairs, "
        f"{pictures['gain']} pictures for insertion and deletion.\n\n"
        + table(means, shown, ours)
        + "\n"
        + "\n".join(f"- {line}" for line in sentences(leads, ours, compared))
        + "\n"
    )
    if sane:
        if redrawn:
            text += f"\n**What is left without the class.** {sentence(means, ours)}\n"
        text += "\n" + table(means, questioned, ours)
    return text


def sentences(
    leads: pd.DataFrame, ours: str, measures: Mapping[str, Measure] = COMPARED
) -> list[str]:
    """Return how `ours` compares with the other methods, one sentence per measure and outcome:
    ahead or behind if the interval of the paired difference excludes 0, else level."""
    texts = []
    leads = leads[leads["lead"].notna()]  # an embedding has no classes
    known = set(leads["measure"])
    for measure, (_, words, sign) in measures.items():
        if measure not in known or (measure == "ratio" and "share" in known):
            continue
        groups: dict[str, list[str]] = {}
        for other, rows in leads[leads["measure"] == measure].groupby("less", sort=False):
            by = rows.set_index("third")
            seen = [third for third in THIRDS if third in by.index]  # few layers leave one out
            states = {third: _state(by.loc[third], sign) for third in seen}
            numbers = "; ".join(_interval(by.loc[third], sign) for third in seen)
            groups.setdefault(_run(states), []).append(f"`{other}` ({numbers})")
        for state, others in groups.items():
            text = f"{words[0].upper()}{words[1:]}: `{ours}` is {state} {_and(others)}."
            texts.append(text)
    return texts


def sentence(means: pd.DataFrame, ours: str) -> str:
    """Return how many maps of one model are not empty with a random last layer, as a sentence."""
    of = means[means["method"] == ours].set_index(["measure", "third"])["mean"]

    def over(measure: str) -> str:
        values = [of[measure, third] for third in THIRDS]
        low, high = (f"{value:.2f}" for value in (min(values), max(values)))
        return low if low == high else f"{low} to {high}"

    empty = [round(100 * of["redrawn_empty", third]) for third in THIRDS]
    span = f"{min(empty)}" if min(empty) == max(empty) else f"{min(empty)} to {max(empty)}"
    return (
        f"With nothing but the last layer drawn anew at random, {span} % of the maps of `{ours}` "
        f"are empty; the others lie on the object by {over('redrawn_share')} (the trained "
        f"network's by {over('share')}), and all correlate with the trained network's by "
        f"{over('redrawn_rank')}."
    )


def table(means: pd.DataFrame, shown: Mapping[str, str], ours: str) -> str:
    """A row a method, ours first; a column a measure: its means at the three thirds."""
    wide = means.set_index(["method", "measure", "third"])["mean"]
    methods = sorted(dict.fromkeys(means["method"]), key=lambda one: one != ours)
    known = set(means[means["mean"].notna()]["measure"])
    shown = {measure: title for measure, title in shown.items() if measure in known}
    rows = []
    for method in methods:
        cells = [
            _cell([wide.get((method, measure, third)) for third in THIRDS]) for measure in shown
        ]
        rows.append([f"`{method}`", *cells])
    return markdown.table(["method", *shown.values()], rows)


def _sizes(sizes: pd.DataFrame, ours: str) -> str:
    names = [name for name in ("small", "medium", "large", "all") if name in set(sizes["size"])]
    counts = sizes[sizes["method"] == ours].groupby("size")["pictures"].max()
    heads, rows = ["method", *(f"{name} ({counts[name]})" for name in names)], []
    by = sizes.set_index(["method", "size", "third"])
    for method in sorted(dict.fromkeys(sizes["method"]), key=lambda one: one != ours):
        cells = []
        for name in names:
            here = [by.loc[(method, name, third)] for third in THIRDS]
            share, ratio = ([row[c] for row in here] for c in ("share", "median_ratio"))
            cells.append(f"{_cell(share)}; {_cell(ratio)}")
        rows.append([f"`{method}`", *cells])
    return markdown.table(heads, rows)


def _cell(values: Iterable[float | None]) -> str:
    return " ".join("-" if v is None or pd.isna(v) else f"{v:z.2f}" for v in values)


def _pictures(means: pd.DataFrame, method: str, measure: str) -> int:
    rows = means[(means["method"] == method) & (means["measure"] == measure)]
    return int(rows["pictures"].max()) if len(rows) else 0


def _state(row: pd.Series, sign: int) -> str:
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return "ahead of" if low > 0 else "behind" if high < 0 else "level with"


def _run(states: Mapping[str, str]) -> str:
    """Return the states of the thirds that were measured in words, each state once."""
    if len(states) == len(THIRDS) and len(set(states.values())) == 1:
        return f"at every depth {states[THIRDS[0]]}"
    thirds: dict[str, list[str]] = {}
    for third, state in states.items():
        thirds.setdefault(state, []).append(third)
    return _and(f"in the {_and(named)} third {state}" for state, named in thirds.items())


def _interval(row: pd.Series, sign: int) -> str:
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return f"{sign * row['lead']:+z.2f} [{low:+z.2f}, {high:+z.2f}]"


def _and(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def write(folder: Path) -> Path:
    """Write the page of a folder of tables beside the folder; return its path.

    Raises BadInput if the tables are missing.
    """
    try:
        means, leads = (pd.read_csv(folder / f"{name}.csv") for name in ("means", "leads"))
    except FileNotFoundError as error:
        raise BadInput(
            f"{error.filename}: there is no such file. Make it: python -m pipeline.study."
        ) from None
    (ours,) = set(means["method"]) - set(leads["less"])
    sizes = folder / "sizes.csv"
    text = told_of(means, leads, pd.read_csv(sizes) if sizes.exists() else None, ours, folder.name)
    page = folder.with_suffix(".md")
    with replacing(page) as partial:
        partial.write_text(text, encoding="utf-8")
    return page


if __name__ == "__main__":
    try:
        for name in sys.argv[1:]:
            write(Path(name))
    except BadInput as error:
        sys.exit(str(error))
