"""The photographs of the page: each cut as its model sees it, and kept once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from naflow.page import encoded
from pipeline.explanations import recorded
from pipeline.pictures.labels import spoken
from pipeline.pictures.pixels import read


class Photographs:
    """Collects photographs; `addresses` are those found so far, no two alike."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def of(self, picture: str, manifest: Mapping[str, Any]) -> dict:
        """Class and photograph (its number) of a picture, as a manifest's settings say.

        Raises BadInput when the folder of pictures, or the picture in it, is gone.
        """
        seen = manifest["settings"]["model"]["input"]
        found = recorded.images(manifest).of_id(picture)
        pixels = read([found], [], seen["size"], seen["fit"], quiet=True).images[0]
        number = self.kept(pixels.permute(1, 2, 0).numpy())
        return {"label": spoken(found.label), "photograph": number}

    def kept(self, pixels: np.ndarray) -> int:
        """The number of a photograph, uint8 (H, W, 3)."""
        address = encoded.photograph(pixels)
        if address not in self.addresses:
            self.addresses.append(address)
        return self.addresses.index(address)
