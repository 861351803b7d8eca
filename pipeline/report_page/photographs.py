"""The photographs of the page: each cut as its model sees it, and kept once."""

import json

from hydra.utils import instantiate

from pipeline.pictures.images import Folder
from pipeline.pictures.labels import spoken
from pipeline.pictures.pixels import read
from pipeline.report_page import encoded


class Photographs:
    """Collects photographs; `addresses` are those found so far, no two alike."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._folders: dict[str, Folder] = {}

    def of(self, picture: str, settings: dict) -> dict:
        """Class and photograph (its number) of a picture, as the settings of a manifest say.

        Raises BadInput when the folder of pictures, or the picture in it, is gone.
        """
        key, seen = json.dumps(settings["images"]), settings["model"]["input"]
        if key not in self._folders:
            self._folders[key] = instantiate(settings["images"])
        found = self._folders[key].of_id(picture)
        pixels = read([found], [], seen["size"], seen["fit"], quiet=True).images[0]
        address = encoded.photograph(pixels.permute(1, 2, 0).numpy())
        if address not in self.addresses:
            self.addresses.append(address)
        return {"label": spoken(found.label), "photograph": self.addresses.index(address)}
