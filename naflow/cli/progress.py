"""Where a run is: one line that is written over on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from shutil import get_terminal_size


class Progress:
    """The line of a run of `total` photos. quiet: say nothing at all."""

    def __init__(self, total: int, quiet: bool) -> None:
        self.total, self.quiet = total, quiet
        self._live = sys.stderr.isatty() and not quiet
        self._now = ""

    def at(self, done: int, photo: str, method: str) -> None:
        """So many photos are done; this one is explained by this method now."""
        self._now = f"{done + 1}/{self.total} {photo}, {method}"
        self._show(self._now)

    def layer(self, name: str, done: int, total: int) -> None:
        """Called by a method on its way: so much of this layer, or of all layers, is done."""
        self._show(f"{self._now}, {name} {done}/{total}")

    def say(self, line: str) -> None:
        """A line that stays, on stdout."""
        self.clear()
        if not self.quiet:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def clear(self) -> None:
        """Take the line away."""
        self._show("")

    def _show(self, line: str) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[K{line[: get_terminal_size().columns - 1]}")
            sys.stderr.flush()
