"""Download one file, and come to an end: with a deadline, a lowest speed and a largest size.

A thread of its own reads, because a server that sends a byte now and then, in its headers or its
content, keeps a reader waiting for ever without a single time-out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from naflow.atomic import replacing
from naflow.hashes import sha256

_CHUNK = 1 << 16  # bytes read at a time


class NotReceived(Exception):
    """The file did not come; the text is the reason."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    silence   seconds without a byte
    slowest   bytes a second, on the average of every `window` seconds
    deadline  seconds for the whole file
    """

    silence: float = 30.0
    slowest: float = 8192.0
    window: float = 60.0
    deadline: float = 12 * 3600.0


def download(
    address: str, path: Path, most: int, sha: str, patience: Patience | None = None
) -> None:
    """Download a file to `path`, which is then whole; on an error it is left as it was.

    most  bytes that the file cannot exceed
    sha   the first digits of its sha256

    Raises NotReceived for a file that does not come, comes too slowly or is another one, and
    OSError where it cannot be written.
    """
    with replacing(path) as partial:
        with partial.open("wb") as file:
            _received(_Reader(address, file, most), patience or Patience())
        if not sha256(partial).startswith(sha):
            raise NotReceived(f"another file came: its sha256 does not begin with {sha}")


class _Reader(threading.Thread):
    """Writes what an address sends into an open file. error: why it ended before the file did."""

    def __init__(self, address: str, file: BinaryIO, most: int) -> None:
        super().__init__(daemon=True)
        self.address, self.file, self.most = address, file, most
        self.silence = 0.0
        self.count = 0
        self.gone = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            _check_web(self.address)
            with build_opener(_Redirects()).open(self.address, timeout=self.silence) as answer:
                self._read(answer)
        except NotReceived as error:
            self.error = error
        except URLError as error:  # no connection; no such file
            self.error = NotReceived(_short(getattr(error, "reason", error)))
        except (HTTPException, ValueError, OverflowError) as error:  # not HTTP; not an address
            self.error = NotReceived(f"it cannot be read: {_short(repr(error))}")
        except OSError as error:  # broken off; a full disk
            self.error = NotReceived(_short(error))
        except Exception as error:  # a fault of ours, raised where it is seen
            self.error = error

    def _read(self, answer: Any) -> None:
        if (answer.length or 0) > self.most:
            raise NotReceived(f"it has {answer.length:,} bytes, at most {self.most:,} are expected")
        while not self.gone.is_set() and (chunk := answer.read1(_CHUNK)):
            self.count += len(chunk)
            if self.count > self.most:
                raise NotReceived(f"it sends more than the {self.most:,} bytes that are expected")
            self.file.write(chunk)
        if answer.length:
            raise NotReceived(f"it broke off {answer.length:,} bytes before its end")


def _short(reason: object) -> str:
    """What went wrong, which a server may have said, in one line and at most 300 letters."""
    return " ".join(str(reason).split())[:300]


def _check_web(address: str) -> None:
    """Raise NotReceived for an address that is not one of the web, such as file:/dev/zero."""
    if not address.lower().startswith(("http:", "https:")):
        raise NotReceived(f"{_short(address)!r} is no web address")


class _Redirects(HTTPRedirectHandler):
    """Follows redirects without reading what comes with them, which may be without end, but none
    from https to http, which anyone could alter."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> Request | None:
        fp.close()  # what is open is read to its end
        if req.type == "https" and not newurl.lower().startswith("https:"):
            where = _short(newurl)
            raise NotReceived(f"it redirects from https to {where!r}, which anyone could alter")
        _check_web(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _received(reader: _Reader, patience: Patience) -> None:
    """Let the reader come to its end. Raises NotReceived if it fails, or patience is at its end."""
    reader.silence = patience.silence
    reader.start()
    end = monotonic() + patience.deadline
    count, due = 0, monotonic() + patience.window
    try:
        while reader.is_alive():
            reader.join(max(0.0, min(due, end) - monotonic()))
            if not reader.is_alive():
                break
            if monotonic() >= end:
                raise NotReceived(f"it was not done after {patience.deadline:,.0f} seconds")
            if reader.count - count < patience.slowest * patience.window:
                raise NotReceived(f"it came slower than {patience.slowest:,.0f} bytes a second")
            count, due = reader.count, monotonic() + patience.window
    finally:
        reader.gone.set()
    if reader.error is not None:
        raise reader.error
