"""Try so many faults and write their table: PYTHONPATH=.:tests python -m faults 50000."""

import platform
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from faults.judged import Table
from faults.kinds import COSTS, ready

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
ABOUT = """# Faults

Damaged weights, results, pictures, replies and words, and ends at any write. Each case is *right*
(what was asked for came), *refused* (one sentence of ours), *traceback* (any other exception),
*wrong* (another result, without a word) or *lost* (finished work is gone); the last three should
be empty. Of every stage two begin together (*stages*), and none, one or both are killed at any
moment; in the end there is what one alone makes.

A safetensors file has no checksum either: one with other finite numbers is another file of weights,
and right is that the network holds exactly these. A case of *overrides* takes as long as 4 others,
one of *stages* as 40: there are as many fewer.

"""


def main() -> None:
    cases = int(sys.argv[1]) if sys.argv[1:] else 2000
    table = Table(told=lambda line: print(line, flush=True))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        table.add(ready(Path(folder)), cases, COSTS)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    versions += f", numpy {numpy.__version__}"
    command = f"PYTHONPATH=.:tests python -m faults {cases}"
    PAGE.write_text(f"{ABOUT}{table.markdown()}\n`{command}`, seed {table.seed}; {versions}.\n")
    print(table.markdown())
    for fault in table.faults[:60]:
        print(*fault)


if __name__ == "__main__":
    main()
