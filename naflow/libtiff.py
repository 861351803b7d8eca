"""What libtiff says of a damaged TIFF, which it would write on stderr, and Pillow may pass over.

Its error handler is one of the whole process. Ours takes what is said in a thread that listens,
and hands on the rest to the handler that was there before.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

_ABOUT_TAGS = ("TIFFFetch", "TIFFReadDirectory")  # of a tag that no pixel depends on
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


class _Listening(threading.local):
    heard: list[str] | None = None


_here = _Listening()


@contextmanager
def listening() -> Generator[list[str]]:
    """Who in libtiff has found damage, in this thread, while the block runs: filled as it goes.

    A Pillow that does not show its libtiff (Windows' has it inside) is left as it is: nothing is
    heard then.
    """
    _listen()
    _here.heard = heard = []
    try:
        yield heard
    finally:
        _here.heard = None


@cache
def _listen() -> object:
    """Set the handler, once, and keep it alive. None where there is no libtiff to be seen."""
    from PIL import Image

    try:
        library = ctypes.CDLL(Image.core.__file__)  # with all that it is linked with
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
