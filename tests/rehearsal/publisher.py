"""Serve stand-ins from loopback, and write the file that names their addresses."""

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from faulty_server import FaultyServer, Handler

from naflow import models
from pipeline import cub


class Redirecting(Handler):
    """Redirects like CUB's server: to an address that answers GET but not HEAD."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/records/"):
            self.send_response(302)
            self.send_header("Location", f"/signed{path}?X-Amz-Expires=60")
            self.end_headers()
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.answer(403)


class Publisher(FaultyServer):
    """Serves the stand-ins under the paths of the published addresses.

    made  name of a network or an archive -> its file
    """

    def __init__(self, made: dict[str, Path]) -> None:
        super().__init__({})
        self.RequestHandlerClass = Redirecting
        self.made = made
        self.told: dict[str, list[dict[str, Any]]] = {}
        for name in made:
            self.publish(name, made[name])

    def publish(self, name: str, path: Path, others: bool = False) -> None:
        """Serve `path` as the file of `name`; others: list it with a wrong hash.

        Of several published addresses, only the last works: NPID's first is reported to be dead.
        """
        card, content = self._card(name), mapped(path)
        told = []
        for one in card:
            told.append({"address": self.base + urlsplit(one.address).path})
            if one.about:
                told[-1]["about"] = one.about
            if one.sha256:
                held = hashlib.sha256(content).hexdigest()
                told[-1] |= {"size": len(content), "sha256": "0" * 64 if others else held}
        last = self.key(card[-1].address)
        self.files[last] = content
        self.told[name] = told

    def withdraw(self, name: str) -> None:
        """Stop serving every address of `name`."""
        for one in self._card(name):
            self.files.pop(self.key(one.address), None)

    def list(self, path: Path) -> Path:
        """Write the file for fetch.published; return its path."""
        path.write_text(json.dumps(self.told, indent=1))
        return path

    @staticmethod
    def key(address: str) -> str:
        """Return the path on this server that gives the bytes of an address."""
        path = urlsplit(address).path
        return f"/signed{path}" if path.startswith("/records/") else path

    @staticmethod
    def _card(name: str) -> "list[models.Weights]":
        known = models.card(name).weights if name in models.list_models() else cub.addresses()[name]
        return list(known)


def mapped(path: Path) -> Any:
    """Return the bytes of a file, mapped instead of read into memory."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
