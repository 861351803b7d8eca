"""Download one file, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

from naflow.atomic import replacing
from naflow.hashes import sha256
from naflow.models.origins.conversation import Head, Patience, Refused, ask

PATIENT = Patience(deadline=12 * 3600.0)


def download(address: str, path: Path, most: int, sha: str, patience: Patience = PATIENT) -> None:
    """Download a file to `path`, which is then whole; on an error it is left as it was.

    most  bytes that the file cannot exceed
    sha   the first digits of its sha256

    Raises Refused and Interrupted for a file that does not come, comes too slowly or is another
    one, and OSError where it cannot be written.
    """
    with replacing(path) as partial:
        with partial.open("wb") as file:
            for chunk in _content(address, most, patience):
                file.write(chunk)
        if not sha256(partial).startswith(sha):
            raise Refused(f"another file came: its sha256 does not begin with {sha}")


def _content(address: str, most: int, patience: Patience) -> Iterator[bytes]:
    """Yield the bytes of the file. Raises Refused for more than `most` of them."""
    headers, end = {"Accept-Encoding": "identity"}, monotonic() + patience.deadline
    with closing(ask(address, headers, patience, end)) as answer:
        head, count = next(answer), 0
        assert isinstance(head, Head)
        if head.status != 200:
            raise Refused(f"it answered {head.status} {head.reason}")
        for chunk in answer:
            assert isinstance(chunk, bytes)
            count += len(chunk)
            if count > most:
                raise Refused(f"it sends more than the {most:,} bytes that are expected")
            yield chunk
