"""A claim about a figure, and the outcome of its check."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.material.view import Material


@dataclass(frozen=True)
class Verdict:
    """The outcome of a claim.

    claim    the sentence
    holds    None if it cannot be checked; `told` then says why
    reading  how we read the sentence: the definition that was checked
    told     the numbers that decide, as text
    """

    claim: str
    holds: bool | None
    reading: str
    told: str
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """The outcome as text."""
        return {True: "holds:", False: "does not hold:", None: "not checked:"}[self.holds]


class Claim(Protocol):
    """Checks one sentence on the material of a figure."""

    def __call__(self, material: Material) -> Verdict: ...
