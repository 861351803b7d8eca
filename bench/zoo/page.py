"""Write docs/reach.md: the table, what is refused and why, and what went wrong."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Sequence

import torch

from bench.zoo.models import PACKAGES, version
from bench.zoo.row import TOLERANCE, Row
from naflow.explainers.lrp import BROKEN

_HEAD = """# Reach

Which models naflow explains: {count} models of {packages} packages, untrained (seeded; batch norms
have the statistics of four random images), {batch} image(s), one thread. One command writes this
page; with `--rows FILE` it goes on with the rows of earlier runs:

```sh
{command}
```

{versions}

- **maps**: layers of the flow. **forwards**: what a first and a second call cost, in forward passes
  without gradients of the same model, by processor time (where such a pass takes a few
  milliseconds, a call's fixed cost is many of them).
- **hooks**: the largest difference of HiResCAM from forward hooks and `torch.autograd.grad` on the
  model's own run, relative to the layer's largest sum_k |g_k x_k|, over the layers that are modules
  and called once (their number in brackets).
- **LRP**: the deviation of its conservation from 1 at the last map and at the first. What is lost
  went to neurons whose terms are all zero: depthwise convolutions over negative inputs, say.
  "refused": no rule for an operation, see below.
- **`damped`**: whether all of its maps are finite.
- Segmentation (smp) is asked for class 1 at every pixel. Maps, Grad-CAM and HiResCAM are those of
  every module (Seg-Grad-CAM, Seg-HiRes-Grad-CAM); `selective`, LRP and `damped` draw the few values
  through which all data flow.
"""


_OFF = """With one image these models' hooks differ from HiResCAM by as much as is said; with the
image given twice they agree with the same maps. On a CPU, PyTorch 2.15's backward pass of a batch
norm in evaluation mode misreads a gradient that comes from tokens, of strides (C, 1, W C, C) and
one image; naflow's gradient is the norm's, worked out by hand.
"""

_BROKEN = """A sum of branches gives each the share a R / (a + b). Where branches of either sign
nearly cancel, shares are many times R, and they grow from sum to sum; what is lost of them later no
longer cancels. The flow's `conservation` tells, and beyond a deviation of {broken} a warning does.
So with untrained weights:
{models}.
"""


def page(rows: Sequence[Row], skipped: Iterable[str], command: str, batch: int) -> str:
    """Return the text of the page."""
    versions = {"torch": torch.__version__} | {name: version(name) for name in PACKAGES}
    stated = ", ".join(f"{name} {number}" for name, number in versions.items())
    packages = {row.name.split(":")[0] for row in rows}
    reached = [row for row in rows if row.maps is not None]
    refused = [row for row in rows if "all" in row.said]
    failed = [(row, problem) for row in rows for problem in problems(row)]
    parts = [
        _HEAD.format(
            count=len(rows),
            packages=len(packages),
            batch=batch,
            command=command,
            versions=f"Python {platform.python_version()}, {stated}.",
        ),
        _summary(rows, reached, refused, failed),
        "## The table\n",
        _table(reached),
        "\n## Refused as a whole\n",
        *(f"- `{row.name}`: {_plain(row.said['all'])}" for row in refused),
        "\n## Refused by a method\n",
        *_refusals(rows),
        "\n## Where LRP breaks down\n",
        _BROKEN.format(broken=BROKEN, models=_names(_broken(rows)) or "None"),
        "\n## What went wrong\n",
        *(f"- `{row.name}`: {problem}" for row, problem in failed),
        *([] if failed else ["Nothing."]),
    ]
    off = [f"- `{row.name}`: {row.hooks_off:.1e}" for row in reached if row.hooks_off is not None]
    if off:
        parts += ["\n## Where the hooks are off\n", _OFF, *off]
    lines = list(skipped)
    if lines:
        parts += ["\n## Skipped\n", *(f"- {line}" for line in lines)]
    return "\n".join(parts) + "\n"


def problems(row: Row) -> list[str]:
    """Return the faults of a row, as text."""
    faults = [f"{method}: {text}" for method, text in row.wrong.items()]
    if row.error is not None and not row.error <= TOLERANCE:
        faults.append(f"HiResCAM differs from hooks by {row.error:.1e}")
    faults += [f"{method}: maps that are not finite" for method, ok in row.finite.items() if not ok]
    if row.kind == "transformer" and row.maps is not None:
        faults.append(f"it is a transformer, and is explained: {row.maps} maps")
    if row.kind in ("cnn", "segmentation") and "all" in row.said:
        faults.append("a CNN that is refused")
    return faults


def _summary(
    rows: Sequence[Row], reached: Sequence[Row], refused: Sequence[Row], failed: Sequence
) -> str:
    errors = [row.error for row in reached if row.error is not None]
    lrp = [row for row in reached if row.conservation is not None]
    kept = [row for row in lrp if row.conservation and max(row.conservation) <= 0.01]
    damped = [row for row in reached if row.finite.get("damped")]
    wrong = len({row.name for row, _ in failed})
    return (
        f"**In short**: {len(reached)} explained, {len(refused)} refused as a whole; something "
        f"went wrong with {wrong}. Largest difference from hooks {max(errors, default=0):.1e}. LRP "
        f"goes through {len(lrp)} of {len(reached)}, conserves to 1 % in {len(kept)} and breaks "
        f"down in {len(_broken(lrp))}; `damped` goes through {len(damped)}."
        f"{_spent(reached)}\n"
    )


def _spent(rows: Sequence[Row]) -> str:
    """Return the median costs, and in how many models a first call costs much more, as text."""
    texts = []
    for method in ("Grad-CAM", "selective"):
        costs = [row.cost[method] for row in rows if method in row.cost]
        if costs:
            middle = statistics.median(second for _, second in costs)
            dearer = sum(first > 1.3 * second for first, second in costs)
            texts.append(f" `{method}`: {middle:.1f} forwards (median), a first call beyond 1.3 ")
            texts.append(f"times a second in {dearer} of {len(costs)}.")
    return "".join(texts)


def _table(rows: Sequence[Row]) -> str:
    lines = [
        "| model | px | M params | maps | Grad-CAM, forwards | `selective`, forwards | hooks "
        "| LRP: last, first | `damped` |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        error = "" if row.error is None else f"{row.error:.0e} ({row.compared})"
        lines.append(
            f"| {row.name} | {row.size} | {row.parameters / 1e6:.1f} | {row.maps} | "
            f"{_cost(row, 'Grad-CAM')} | {_cost(row, 'selective')} | {error} | {_lrp(row)} | "
            f"{_state(row, 'damped')} |"
        )
    return "\n".join(lines)


def _cost(row: Row, method: str) -> str:
    if method not in row.cost:
        return _state(row, method)
    first, second = row.cost[method]
    return f"{first:.1f}, {second:.1f}"


def _lrp(row: Row) -> str:
    if row.conservation is None:
        return _state(row, "LRP")
    return ", ".join(f"{deviation:.0e}" for deviation in row.conservation)


def _state(row: Row, method: str) -> str:
    if method in row.said:
        return "refused"
    if method in row.finite:
        return "finite" if row.finite[method] else "**not finite**"
    return "**failed**" if method in row.wrong else "**not reached**"


def _refusals(rows: Sequence[Row]) -> list[str]:
    """Return one line for each message of a method, with the models that it was raised for."""
    models: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for method, text in row.said.items():
            if method != "all":
                models.setdefault((method, _plain(text)), []).append(row.name)
    lines = [
        f'- {method}: "{text}" {", ".join(f"`{name}`" for name in names)}'
        for (method, text), names in sorted(models.items())
    ]
    return lines or ["Nothing."]


def _broken(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.conservation and not max(row.conservation) <= BROKEN]


def _names(rows: Iterable[Row]) -> str:
    return ", ".join(f"`{row.name}`" for row in rows)


def _plain(sentence: str) -> str:
    return sentence.split(": ", 1)[1]
