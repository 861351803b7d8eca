"""Model cards: a network's paper, weights, input and validation, known before it is built."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Fit = Literal["square", "crop", "stretch"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Input:
    """A network's preprocessing: (RGB in [0, 1] - mean) / std, of shape (B, 3, size, size).

    transform  how its authors resize and crop when they measure accuracy, in words
    fit        how naflow.models.preprocessing does it. `square`: the largest central square;
               `crop`: the shorter side to `resize` pixels, then the centre; `stretch`: the whole
               picture to a square of `resize` pixels, then the centre
    resample   the interpolation
    """

    size: int = 224
    transform: str = "resize the shorter side to 256, crop the middle 224"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fit: Fit = "square"
    resize: int = 256
    resample: Resample = "bilinear"

    def at(self, size: int) -> Input:
        """Return the same preprocessing at another size; it shows the same part of a picture."""
        return replace(self, size=size, resize=round(self.resize * size / self.size))

    @property
    def cut(self) -> str:
        """The part of a picture that the network sees, in words."""
        if self.fit == "stretch":
            return f"stretched to {self.resize} x {self.resize} pixels, then the middle {self.size}"
        if self.fit == "crop":
            return f"the shorter side to {self.resize} pixels, then the middle {self.size}"
        return "the largest square in the middle"


@dataclass(frozen=True)
class File:
    """A file of an installed distribution: the distribution's name and the file's."""

    package: str
    name: str


@dataclass(frozen=True)
class Weights:
    """A published file of weights. size in bytes and sha256 are None if they are not published.

    about      the approximate size; the file is less than twice as large
    installed  the file, if it comes in an installable package; None: it has to be downloaded
    """

    address: str
    size: int | None = None
    sha256: str | None = None
    note: str = ""
    about: int | None = None
    installed: File | None = None

    @property
    def bytes(self) -> str:
        """The size in words; "" if unknown."""
        if self.size:
            return f"{self.size:,} bytes"
        return f"about {self.about / 1e6:,.0f} MB" if self.about else ""

    def __str__(self) -> str:
        facts = [self.bytes, self.note]
        return f"{self.address} ({', '.join(filter(None, facts)) or 'size and hash unknown'})"


@dataclass(frozen=True)
class ModelCard:
    """One entry of the registry.

    network     the dotted name of the function that builds it
    parameters  number of trained parameters, without buffers
    weights     published files, the paper's own first; () if it has to be trained
    gate        the number that weights must reach, by the source's own validation protocol
    note        what a reader may find surprising
    """

    name: str
    title: str
    task: str
    paper: str
    network: str
    parameters: int
    licence: str
    gate: str
    weights: tuple[Weights, ...] = ()
    input: Input = field(default_factory=Input)
    note: str = ""

    @property
    def embedding(self) -> bool:
        """Whether its output is an embedding, not classes."""
        return "embedding" in self.task

    def __str__(self) -> str:
        rows = [
            ("task", self.task),
            ("paper", self.paper),
            ("parameters", f"{self.parameters:,}"),
            *[("weights", str(weights)) for weights in self.weights or ["none published"]],
            ("licence", self.licence),
            ("gate", self.gate),
            ("input", f"{self.input.size} px; {self.input.transform}"),
            ("note", self.note),
        ]
        lines = [f"{self.name}: {self.title}"]
        return "\n".join(lines + [f"  {head:<11} {text}" for head, text in rows if text])
