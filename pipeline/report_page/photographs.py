"""The photographs of the page, each cropped as its model sees it and stored once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from naflow.page import encoded
from pipeline.explanations import recorded
from pipeline.pictures.labels import spoken
from pipeline.pictures.pixels import read


class Photographs:
    """Collects photographs; `addresses` are their data URLs, without repetitions."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def of(self, picture: str, manifest: Mapping[str, Any]) -> dict:
        """Add a picture, read as a manifest's settings say; return its class and its number.

        Raises BadInput if the folder of pictures, or the picture in it, no longer exists.
        """
        seen = manifest["settings"]["model"]["input"]
        entry = recorded.images(manifest).of_id(picture)
        pixels = read([entry], [], seen["size"], seen["fit"], quiet=True).images[0]
        number = self.kept(pixels.permute(1, 2, 0).numpy())
        return {"label": spoken(entry.label), "photograph": number}

    def kept(self, pixels: np.ndarray) -> int:
        """Add a photograph (H, W, 3) uint8, if it is new; return its number."""
        address = encoded.photograph(pixels)
        if address not in self.addresses:
            self.addresses.append(address)
        return self.addresses.index(address)
