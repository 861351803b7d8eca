"""Download one file from one address over HTTP to a partial file, with resume and retries.

Follows RFC 9110, sections 8.8 (validators), 10.2.3 (Retry-After), 13.1.5 (If-Range), 14 (ranges).
"""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from naflow.models.origins.conversation import Head, Interrupted, Patience, Refused, ask, shown

LONGEST_WAIT = 120.0  # seconds between two attempts, whatever the server asks for


@dataclass(frozen=True)
class Partial:
    """The part of a file downloaded so far; `note` beside it holds its address and version."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".note")

    def version(self, address: str) -> str:
        """Return the version of the bytes that are there; "" if they cannot be resumed."""
        if not (self.path.is_file() and self.path.stat().st_size and self.note.is_file()):
            return ""
        noted, _, version = self.note.read_text(errors="replace").partition("\n")
        return version if noted == address else ""

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@dataclass(frozen=True)
class Transfer:
    """Downloads the rest of the file at an address into `partial`.

    size     of the file in bytes; None: unknown
    most     limit of its size, in bytes
    hashed   whether its hash is known, which would reveal a mixture of two versions
    """

    partial: Partial
    size: int | None
    most: int
    hashed: bool
    quiet: bool | None
    patience: Patience

    def __call__(self, address: str) -> None:
        """Download. Raises Refused with the reason, also after the last attempt, and OSError if
        the partial file cannot be written.
        """
        end = monotonic() + self.patience.deadline
        for attempt in range(self.patience.retries + 1):
            try:
                return self._attempt(address, end)
            except Interrupted as error:
                if attempt == self.patience.retries:
                    raise Refused(f"{error}, {attempt + 1} times") from None
                self.patience.sleep(min(max(2.0**attempt, error.wait), LONGEST_WAIT))

    def _attempt(self, address: str, end: float) -> None:
        version = self.partial.version(address)
        have = self.partial.path.stat().st_size if version else 0
        headers = {"Accept-Encoding": "identity"}  # lengths and ranges count the file's own bytes
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        with closing(ask(address, headers, self.patience, end)) as answer:
            head = next(answer)
            assert isinstance(head, Head)
            start, total = self._placed(head, have, version)
            if start == 0 or start != total:
                self._write(answer, f"{address}\n{self._version(head)}", start, total)

    def _placed(self, head: Head, have: int, version: str) -> tuple[int, int | None]:
        """Return the offset of the response's bytes, and the size of the whole file if known."""
        told = head.headers
        if head.status in (408, 429) or head.status >= 500:
            raise Interrupted(f"it answered {head.status} {head.reason}", _asked_wait(head))
        if head.status == 200:
            start, total = 0, _number(told.get("Content-Length"))
        elif head.status in (206, 416) and have:
            of = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", told.get("Content-Range", ""))
            start, total = have, _number(of and of[2])
            follows = total == have if head.status == 416 else _number(of and of[1]) == have
            if not (follows and self._same(head, version)):
                self.partial.discard()
                raise Interrupted("it did not resume where an earlier download stopped")
        else:
            raise Refused(f"it answered {head.status} {head.reason}")
        if head.status != 416 and "text/html" in told.get("Content-Type", "").lower():
            raise Refused("it sent a web page instead of the file")
        packed = told.get("Content-Encoding", "")
        if packed.lower() not in ("", "identity"):
            raise Refused(f"it sent the file as {shown(packed)}, which was not asked for")
        if None not in (total, self.size) and total != self.size:
            raise Refused(f"its file has {total:,} bytes, {self.size:,} are expected")
        if total is not None and total > self.most:
            raise Refused(f"its file has {total:,} bytes, at most {self.most:,} are expected")
        return start, self.size if total is None else total

    def _write(
        self, answer: Iterator[Head | bytes], note: str, start: int, total: int | None
    ) -> None:
        most = self.most if total is None else total
        with (
            self.partial.path.open("ab" if start else "wb") as file,
            tqdm(
                desc=self.partial.path.name.removesuffix(".partial"),
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                disable=self.quiet,
            ) as bar,
        ):
            if not start:
                self.partial.note.write_text(note)
            for chunk in answer:
                assert isinstance(chunk, bytes)
                if file.tell() + len(chunk) > most:
                    self.partial.discard()
                    raise Refused(f"it sent more than the {most:,} bytes that are expected")
                file.write(chunk)
                bar.update(len(chunk))
            if total is not None and file.tell() != total:
                raise Interrupted(f"it broke off after {file.tell():,} of {total:,} bytes")

    def _version(self, head: Head) -> str:
        """Return the value for If-Range: a strong ETag; else, if the hash will be checked, the time
        of the last change (whole seconds, so two versions may share it); else "".
        """
        etag = head.headers.get("ETag", "")
        if etag.startswith('"'):
            return etag
        return head.headers.get("Last-Modified", "") if self.hashed else ""

    def _same(self, head: Head, version: str) -> bool:
        """Whether a response has this version. A part must state it if the version is an ETag."""
        must = head.status == 206 and version.startswith('"')
        return self._version(head) in ((version,) if must else ("", version))


def _asked_wait(head: Head) -> float:
    """Return the seconds that Retry-After asks for, as a number or a date; 0 without it."""
    text = head.headers.get("Retry-After", "")
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _number(text: str | None) -> int | None:
    """Return a count of up to 18 digits; None for any other text."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None
