"""Draw pictures of stand-in classes; each class has its own silhouette and colours."""

import io

import numpy as np
from PIL import Image

from pipeline.scenes.shapes import box_of, cover, place
from pipeline.scenes.silhouettes import SILHOUETTES
from pipeline.scenes.textures import Rng, colour, texture

NAMES = list(SILHOUETTES)
GOLDEN = 0.618034  # of the circle of hues: neighbouring classes lie far apart


def drawn(number: int, shape: tuple[int, int], rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Draw class `number`; return picture (height, width, 3) uint8, mask (height, width) bool."""
    width, height = shape
    side, hue = max(shape), number * GOLDEN % 1
    mask = cover(place(SILHOUETTES[NAMES[number % len(NAMES)]], rng), side)[..., None]
    behind = texture(
        rng, side, colour(rng, hue, (0.3, 0.6)), colour(rng, hue + 0.1, (0.1, 0.4)), 0.6
    )
    front = texture(
        rng, side, colour(rng, hue + 0.5, (0.6, 0.9)), colour(rng, hue + 0.4, (0.6, 0.9)), 0.4
    )
    image = (np.clip(behind * (1 - mask) + front * mask, 0, 1) * 255).round().astype(np.uint8)
    size = (width, height)
    squeezed = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return squeezed, np.asarray(Image.fromarray(mask[..., 0] > 0.5).resize(size)) > 0


def jpeg(image: np.ndarray, grey: bool = False) -> bytes:
    """Return a picture as a JPEG file; some published ones are grey."""
    file = io.BytesIO()
    Image.fromarray(image).convert("L" if grey else "RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def png(mask: np.ndarray) -> bytes:
    """Return a mask as a grey PNG file of annotators' votes, 0 to 255."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 204).save(file, "PNG")
    return file.getvalue()


__all__ = ["box_of", "drawn", "jpeg", "png"]
