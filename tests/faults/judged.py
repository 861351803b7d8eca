"""What each case came to, and the table of it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from naflow.errors import NAFlowError

JUDGEMENTS = ("right", "refused", "traceback", "wrong", "lost")
Case = Callable[[np.random.Generator], str]


@dataclass
class Table:
    """Counts by kind and judgement; faults: (kind, case, judgement, error); told: as it goes on."""

    seed: int = 0
    counts: dict[str, Counter] = field(default_factory=dict)
    faults: list[tuple[str, int, str, str]] = field(default_factory=list)
    told: Callable[[str], object] = lambda _: None

    def add(self, kinds: Mapping[str, Case], cases: int, costs: Mapping[str, int]) -> None:
        """Try so many cases in all, a kind after the other; the same seed gives the same cases.

        costs: of a kind whose cases take longer, for how many of the others one of it counts
        """
        for place, (kind, case) in enumerate(kinds.items()):
            share = cases // len(kinds) + (place < cases % len(kinds))
            for number in range(-(-share // costs.get(kind, 1))):
                judgement, error = judged(case, np.random.default_rng([self.seed, place, number]))
                self.counts.setdefault(kind, Counter())[judgement] += 1
                if judgement not in ("right", "refused"):
                    self.faults.append((kind, number, judgement, error))
            self.told(f"{kind}: {dict(self.counts[kind])}")

    def markdown(self) -> str:
        """A row a kind."""
        lines = [f"| kind | tried | {' | '.join(JUDGEMENTS)} |", f"|---|{'---:|' * 6}"]
        for kind, found in self.counts.items():
            cells = [found.total(), *(found[one] for one in JUDGEMENTS)]
            lines.append(f"| {kind} | {' | '.join(f'{cell:,}' for cell in cells)} |")
        return "\n".join(lines) + "\n"


def judged(case: Case, random: np.random.Generator) -> tuple[str, str]:
    """The judgement, and the error where there was one."""
    try:
        return case(random), ""
    except NAFlowError as error:
        return "refused" if str(error) else "traceback", repr(error)
    except SystemExit as error:
        told = isinstance(error.code, str) and error.code
        return "refused" if told else "traceback", repr(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300]


def changed(content: bytes, random: np.random.Generator) -> bytes:
    """A bit flipped, or the content cut or emptied."""
    at, kind = int(random.integers(len(content))), random.integers(6)
    if kind == 0:
        return content[:at]
    if kind == 1 and at % 4 == 0:
        return b""
    return content[:at] + bytes([content[at] ^ 1 << random.integers(8)]) + content[at + 1 :]
