"""One file from one address over HTTP: streamed to a partial file, gone on with, tried again.

What HTTP says of it: RFC 9110, sections 10.2.3 (Retry-After), 13.1.5 (If-Range), 14 (ranges).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from requests import Response
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, SSLError, Timeout
from tqdm import tqdm

CHUNK = 1 << 15  # bytes read at a time, and at most lost when a connection breaks off
LONGEST_WAIT = 120.0  # seconds between two attempts, whatever the server asks for


class Refused(Exception):
    """The address will not give the file, however often it is asked."""


class Interrupted(Exception):
    """The attempt failed; a later one may succeed, after `wait` seconds if the server said so."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class Session(requests.Session):
    """Follows no redirect from https to plain http."""

    def get_redirect_target(self, resp: Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https":
            target = urljoin(resp.url, target)
            if urlsplit(target).scheme != "https":
                raise Refused(f"it redirects from https to {target}, which anyone could alter")
        return target


@dataclass(frozen=True)
class Partial:
    """What has arrived of a file, and in `note` beside it the address and version it is from."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".note")

    def version(self, address: str) -> str:
        """The version of the bytes that are there; "" where they cannot be gone on with."""
        if not (self.path.is_file() and self.path.stat().st_size and self.note.is_file()):
            return ""
        noted, _, version = self.note.read_text(errors="replace").partition("\n")
        return version if noted == address else ""

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@dataclass(frozen=True)
class Transfer:
    """Brings `partial` to the end of the file at an address.

    size     bytes that the file has to have, if that is known
    retries  attempts after the first; the waits between them are 1, 2, 4, ... seconds
    timeout  seconds without an answer, or without a byte, that end an attempt
    """

    partial: Partial
    size: int | None
    quiet: bool | None
    retries: int
    timeout: float
    sleep: Callable[[float], object] = time.sleep

    def __call__(self, address: str) -> None:
        """Raises Refused with the reason, also when the last attempt failed, and OSError where the
        partial file cannot be written.
        """
        with Session() as session:
            for attempt in range(self.retries + 1):
                try:
                    return self._attempt(session, address)
                except Interrupted as error:
                    if attempt == self.retries:
                        raise Refused(f"{error}, {attempt + 1} times") from None
                    self.sleep(min(max(2.0**attempt, error.wait), LONGEST_WAIT))

    def _attempt(self, session: Session, address: str) -> None:
        version = self.partial.version(address)
        have = self.partial.path.stat().st_size if version else 0
        headers = {"Accept-Encoding": "identity"}  # lengths and ranges count the file's own bytes
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": version}
        try:
            with session.get(
                address, headers=headers, stream=True, timeout=self.timeout
            ) as response:
                start, total = self._placed(response, have, version)
                if start == 0 or start != total:
                    self._write(response, address, start, total)
        except SSLError as error:
            raise Refused(f"its certificate was not accepted ({error})") from None
        except (requests.ConnectionError, Timeout, ChunkedEncodingError, ContentDecodingError):
            raise Interrupted("the connection failed or broke off") from None
        except requests.RequestException as error:
            raise Refused(f"it cannot be asked for ({error})") from None

    def _placed(self, response: Response, have: int, version: str) -> tuple[int, int | None]:
        """Where the answer's bytes belong, and the size of the whole file if anyone knows it."""
        status = response.status_code
        if status in (408, 429) or status >= 500:
            raise Interrupted(f"it answered {status} {response.reason}", _asked_wait(response))
        if status == 200:
            start, total = 0, _number(response.headers.get("Content-Length"))
        elif status in (206, 416) and have:
            told = re.fullmatch(
                r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "")
            )
            start, total = have, _number(told and told[2])
            follows = total == have if status == 416 else _number(told and told[1]) == have
            if not follows or _version(response) not in ("", version):
                self.partial.discard()
                raise Interrupted("it did not go on where an earlier download stopped")
        else:
            raise Refused(f"it answered {status} {response.reason}")
        if status != 416 and "text/html" in response.headers.get("Content-Type", ""):
            raise Refused("it sent a web page instead of the file")
        if None not in (total, self.size) and total != self.size:
            raise Refused(f"its file has {total:,} bytes, {self.size:,} are expected")
        return start, self.size if total is None else total

    def _write(self, response: Response, address: str, start: int, total: int | None) -> None:
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
                self.partial.note.write_text(f"{address}\n{_version(response)}")
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if total is not None and file.tell() > total:
                    raise Refused(f"it sent more than the {total:,} bytes that are expected")
            if total is not None and file.tell() != total:
                raise Interrupted(f"it broke off after {file.tell():,} of {total:,} bytes")


def _version(response: Response) -> str:
    """What If-Range may name: a strong ETag, else the time of the last change, else ""."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _asked_wait(response: Response) -> float:
    """Seconds that Retry-After asks for, which may also name a date; 0 without it."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
