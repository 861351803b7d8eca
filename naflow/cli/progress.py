"""Progress of a run: one line on a terminal that is overwritten; nothing if it is no terminal."""

from __future__ import annotations

import sys
from shutil import get_terminal_size


class Progress:
    """The progress line of a run of `total` photos. quiet: print nothing."""

    def __init__(self, total: int, quiet: bool) -> None:
        self.total, self.quiet = total, quiet
        self._live = sys.stderr.isatty() and not quiet
        self._now = ""

    def at(self, done: int, photo: str, method: str) -> None:
        """Show that `done` photos are done, and `photo` is being explained by `method`."""
        self._now = f"{done + 1}/{self.total} {photo}, {method}"
        self._show(self._now)

    def layer(self, name: str, done: int, total: int) -> None:
        """Show the progress of a method within a photo, which the method itself reports."""
        self._show(f"{self._now}, {name} {done}/{total}")

    def say(self, line: str) -> None:
        """Print a line that stays, on stdout."""
        self.clear()
        if not self.quiet:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def clear(self) -> None:
        """Remove the progress line."""
        self._show("")

    def _show(self, line: str) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[K{line[: get_terminal_size().columns - 1]}")
            sys.stderr.flush()
