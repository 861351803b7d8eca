"""Collect libtiff's errors about damaged TIFFs, which it writes to stderr and Pillow may ignore.

libtiff has one error handler for the whole process. Ours collects the errors of threads that
listen, and passes all others on to the previous handler.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

_ABOUT_TAGS = ("TIFFFetch", "TIFFReadDirectory")  # errors in tags; no pixel depends on them
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


class _Listening(threading.local):
    heard: list[str] | None = None


_here = _Listening()


@contextmanager
def listening() -> Generator[list[str]]:
    """Context manager: yield the list of libtiff's functions that report damage in this thread. It
    is filled while the block runs.

    If Pillow does not expose its libtiff (on Windows it is linked statically), the list stays
    empty.
    """
    _listen()
    _here.heard = heard = []
    try:
        yield heard
    finally:
        _here.heard = None


@cache
def _listen() -> object:
    """Set the handler, once, and keep it alive. None if libtiff is not accessible."""
    from PIL import Image

    try:
        library = ctypes.CDLL(Image.core.__file__)  # and the libraries that it is linked with
        set_handler = library.TIFFSetErrorHandler
    except (AttributeError, OSError, TypeError):
        return None
    set_handler.argtypes, set_handler.restype = [_HANDLER], ctypes.c_void_p

    def handler(module: bytes | None, message: bytes, values: Any) -> None:
        if _here.heard is None:
            if before:
                before(module, message, values)
            return
        who = (module or b"").decode("ascii", "replace")
        if not who.startswith(_ABOUT_TAGS):
            _here.heard.append(who)

    ours = _HANDLER(handler)
    before: Any = None
    address = set_handler(ours)
    before = _HANDLER(address) if address else None
    return ours
