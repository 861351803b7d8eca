"""One HTTP request that always ends: the response's head and bytes, with limits of time and speed.

A separate thread reads from the server: a server that sends a byte now and then, in its headers or
between chunks, would block a reader for ever without a time-out. At the limits the thread is
abandoned.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from queue import Empty, Full, Queue
from time import monotonic, sleep
from urllib.parse import urljoin, urlsplit

import requests
from requests import Response
from requests.exceptions import SSLError, Timeout
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, TimeoutError

CHUNK = 1 << 15  # bytes read at a time; no more are lost when a connection breaks off
REDIRECTS = 10


class Refused(Exception):
    """The address does not give the file; another attempt would not help."""


class Interrupted(Exception):
    """The attempt failed; another may succeed, after the `wait` seconds the server asked for."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """The limits of a download from one address.

    retries   attempts after the first, 1, 2, 4, ... seconds (at most 120) apart or as Retry-After
              asks; after a refusal (404, a redirect from https to http) there are none
    silence   seconds without a response, or without a byte, that end an attempt
    slowest   bytes per second, averaged over each `window` seconds, below which an attempt ends
    deadline  seconds for all attempts together
    """

    retries: int = 5
    silence: float = 30.0
    slowest: float = 8192.0
    window: float = 60.0
    deadline: float = 24 * 3600.0
    sleep: Callable[[float], object] = sleep


@dataclass(frozen=True)
class Head:
    """The status and headers of a response; names of headers ignore case."""

    status: int
    reason: str
    headers: Mapping[str, str]


class Session(requests.Session):
    """Never follows a redirect: requests would read the redirect's body, however long."""

    def resolve_redirects(self, *args: object, **kwargs: object) -> Generator[Response]:
        yield from ()


def ask(
    address: str, headers: Mapping[str, str], patience: Patience, end: float
) -> Generator[Head | bytes]:
    """Send a GET, following redirects; yield the response's head, then its bytes as sent.

    end  the deadline, by time.monotonic()

    Raises Refused and Interrupted with the reason.
    """
    arrived: Queue[Head | bytes | Exception] = Queue(64)
    gone = threading.Event()
    speaker = threading.Thread(
        target=_speak, args=(address, headers, patience.silence, arrived, gone), daemon=True
    )
    speaker.start()
    try:
        count, due = 0, monotonic() + patience.window
        while True:
            try:
                item = arrived.get(timeout=max(0, min(due, end) - monotonic()))
            except Empty:
                item = None
            if isinstance(item, Exception):
                raise item
            if item == b"":
                return
            if item is not None:
                count += len(item) if isinstance(item, bytes) else 0
                yield item
            now = monotonic()
            if now >= end:
                raise Refused(f"it was not done after {patience.deadline:,.0f} seconds")
            if now >= due:
                if count < patience.slowest * patience.window:
                    raise Interrupted(f"it came slower than {patience.slowest:,.0f} bytes a second")
                count, due = 0, now + patience.window
    finally:
        gone.set()


def shown(text: object) -> str:
    """Return at most 300 characters of a server's text, without control characters."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text)[:300])


def _speak(
    address: str,
    headers: Mapping[str, str],
    silence: float,
    arrived: "Queue[Head | bytes | Exception]",
    gone: threading.Event,
) -> None:
    """Put the head, the bytes, and b"" or the exception into `arrived`, until `gone` is set."""

    def put(item: Head | bytes | Exception) -> None:
        while not gone.is_set():
            try:
                return arrived.put(item, timeout=1)
            except Full:
                continue

    try:
        with Session() as session, _followed(session, address, headers, silence) as found:
            put(Head(found.status_code, shown(found.reason), found.headers))
            while not gone.is_set() and (chunk := found.raw.read1(CHUNK, decode_content=False)):
                put(chunk)
            put(b"")
    except (Refused, Interrupted) as error:
        put(error)
    except SSLError as error:
        put(Refused(f"its certificate was not accepted ({shown(error)})"))
    except (requests.ConnectionError, Timeout, ProtocolError, TimeoutError, IncompleteRead):
        put(Interrupted("the connection failed or broke off"))
    except (requests.RequestException, HTTPError, HTTPException, ValueError) as error:
        put(Refused(f"it cannot be requested ({shown(error)})"))
    except Exception as error:  # a bug of ours: `ask` raises it
        put(error)


def _followed(
    session: Session, address: str, headers: Mapping[str, str], silence: float
) -> Response:
    """Return the response after redirects, whose bodies are not read. Raises as `redirect` does."""
    for _ in range(REDIRECTS):
        found = session.get(address, headers=headers, stream=True, timeout=silence)
        if not found.is_redirect:
            return found
        found.close()
        address = redirect(address, found.headers["Location"])
    raise Refused(f"it redirects more than {REDIRECTS} times")


def redirect(address: str, location: str) -> str:
    """Return the target of a redirect. Raises Refused, or ValueError if it cannot be parsed."""
    target = urljoin(address, location.encode("latin1").decode("utf-8"))
    if urlsplit(target).scheme not in ("http", "https"):
        raise Refused(f"it redirects to {shown(target)}, which is no web address")
    if urlsplit(address).scheme == "https" and urlsplit(target).scheme != "https":
        raise Refused(f"it redirects from https to {shown(target)}, which anyone could alter")
    return target
