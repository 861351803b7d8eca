"""Write the results of the rehearsal as the text of docs/rehearsal.md."""

import os
import platform
from collections.abc import Mapping, Sequence

import torch

from pipeline.markdown import table
from rehearsal.day import LAYOUTS_NOTE, Day
from rehearsal.faults import Came
from rehearsal.workplace import SHORTER

FAULTS = """Then, network by
network, something is missing, wrong, or worse than its gate."""
NO_FAULTS = """Of the faults
that it tries after that (a network missing, wrong, or worse than its gate) this run tried none."""
HEAD = """# The day, rehearsed

`make rehearsal` writes this page; a nightly job runs it. All that the profile `paper` needs from
elsewhere is made in the formats in which it is published, served from loopback, and the commands of
[paper.md](paper.md) are run as they stand there, in a copy of the project. {faults}

What is made: torchvision's state dicts; CBAM's and BAM's checkpoints in torch's old format, their
tensors on a GPU and their names those of `DataParallel`; NPID's with the authors' pickled
`NCEAverage` and a memory bank of 1,281,167 x 128 (the first of its two addresses is dead); VISSL's
dictionary; CUB-200-2011's archives, behind a redirection; ImageNet's validation set in three
layouts, with devkit and boxes. The networks have random features and a last layer fitted so that
the published gates are passed, on {pictures} pictures: the figures and the verdicts on their claims
mean nothing.

What only the real files can show: whether the addresses answer, Google Drive's pages of
confirmation, the published hashes, CUB's counts (29 of its 200 classes stand in), the real gates,
the whole recipes, and how long it takes.
"""


def text(day: Day, came: Sequence[Came], took: Mapping[str, float], count: int) -> str:
    """Return the page.

    took   seconds and CPU seconds of making the stand-ins
    count  number of stand-in pictures of ImageNet
    """
    wall, core = (sum(getattr(one, kind) for one in day.ran) for kind in ("seconds", "core"))
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    parts = [
        HEAD.format(pictures=count, faults=FAULTS if came else NO_FAULTS),
        "## The day\n",
        f"{where}, one thread a process; other work may have run beside it. The stand-ins took "
        f"{took['seconds']:.0f} s to make, {took['core']:.0f} s of a core. "
        f"Drawn: {', '.join(day.figures)}.\n",
        table(
            ("command", "exit code", "s", "s of a core"),
            [(f"`{r.command}`", r.code, f"{r.seconds:.0f}", f"{r.core:.0f}") for r in day.ran]
            + [("all", "", f"{wall:.0f}", f"{core:.0f}")],
        ),
        f"{LAYOUTS_NOTE} {', '.join(n for n, same in day.layouts.items() if same)}.\n",
        "Its stages, in the order in which they ran:\n",
        table(
            ("stage", "s", "s of a core"),
            [(f"`{name}`", f"{s:.1f}", f"{core:.1f}") for name, (s, core) in day.stages.items()],
        ),
        "What is shorter than on the day:\n",
        table(("file", "setting", "here"), [(f"`{f}`", f"`{key}`", v) for f, key, v in SHORTER]),
    ]
    if came:
        parts += [
            "## What goes wrong\n",
            "Each time all that follows from the faulty stage is made anew by `make figures`, as "
            "on a first day; two such days at a time.\n",
            table(("what", "fault", "figures not drawn", "page", "s"), map(row, came)),
            "What was said, by the first stage that failed:\n",
            *(f"- **{one.what}, {one.kind}**: {shown(one.said)}" for one in came),
        ]
    return "\n".join(parts).rstrip() + "\n"


def row(came: Came) -> tuple[object, ...]:
    """Return a fault's row of the table."""
    missing = ", ".join(name.removeprefix("fig").lstrip("0") for name in came.missing) or "none"
    page = "drawn" if came.page else "not drawn"
    return came.what, came.kind, missing, page, f"{came.seconds:.0f}"


def shown(said: str) -> str:
    """Return a message without the temporary folder's path, escaped for Markdown."""
    words = [word.split("/")[-1] if word.startswith("/tmp") else word for word in said.split()]
    return " ".join(words).replace("<", "&lt;").replace("*", "\\*")
