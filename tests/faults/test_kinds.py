"""Seeded faults of every kind: nothing ends in a traceback, is wrong or is lost.

The environment variable NAFLOW_FAULTS sets how many are tried in all.
"""

import os
from contextlib import nullcontext

import numpy as np
import pytest
from faults import kinds
from faults.judged import Table, judged
from faults.kinds import COSTS, KINDS, manifests, stages, writes

from naflow.errors import BadInput

CASES = int(os.environ.get("NAFLOW_FAULTS", "2000"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_fault_is_a_traceback_wrong_or_lost(kind, tmp_path):
    table = Table()
    table.add({kind.__name__: kind(tmp_path)}, CASES // len(KINDS), COSTS)
    assert not table.faults, f"{table.markdown()}{table.faults[:20]}"
    found = table.counts[kind.__name__]
    # Every change of a sealed manifest is refused; a write that fails leaves what was there; of two
    # stages one waits for the other.
    assert found["right"] or kind is manifests, f"{found}"
    assert found["refused"] or kind in (writes, stages), f"{found}"


@pytest.mark.parametrize(
    ("raised", "judgement"),
    [
        (BadInput("a.jpg is damaged."), "refused"),
        (BadInput(""), "traceback"),
        (SystemExit("a sentence"), "refused"),
        (SystemExit(2), "traceback"),
        (KeyError("a"), "traceback"),
    ],
)
def test_what_is_raised_is_judged(raised, judgement):
    def case(_):
        raise raised

    assert judged(case, np.random.default_rng(0))[0] == judgement


def test_a_file_that_is_written_in_its_place_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "replacing", nullcontext)
    table = Table()
    table.add({"writes": writes(tmp_path)}, 60, {})
    assert table.counts["writes"]["wrong"] > 3
