"""The knobs of the inverse, and the named presets that set them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from naflow.errors import BadInput, is_one_of, near_names

Anchor = Literal["zero", "forward"]
Offset = Literal["local", "zero"]
Merge = Literal["never", "paper"]
Reduce = Literal["sum", "positive"]
Abandon = Literal["unused", "opposing", "disputed", "doubtful"]


@dataclass(frozen=True)
class InverseConfig:
    """How NAFlow inverts a unit y = f(x), given the back-propagated feature map z~ of its output:

        x~ = argmin_x || P (J x + c - z~) ||^2 + damping^2 s^2 || x - a ||^2

    with J the unit's Jacobian at the forward pass, c its offset, s the largest singular value of
    P J, P the selection of equations and a the anchor. Equations 5-14 of the paper are the case
    damping = 0, anchor "zero".

    truncate        use the first n output neurons in (C, H, W) order only, n the number of inputs
    drop_abandoned  True: abandoned outputs give no equation; False: they enter as zeros
    anchor          "zero": the minimum-norm solution; "forward": the one nearest to the activation
    damping         relative to s. 0: the plain inverse; math.inf: the anchor itself. Undamped, an
                    ill-conditioned unit amplifies rounding errors: on random networks a batch in
                    float32 differed from its single images by up to 2.8 relative, in float64 not
                    at all. A small residual does not show it, and every shallower map inherits it.
                    Where a unit stopped at its iteration limit (flow.stats[layer].stop), trust
                    neither its map nor shallower ones, or use model.double()
    offset          "local": c = f(x) - J x; "zero": c = f(0), as in the authors' code
    tol             relative tolerance of the solver, at least what the dtype can attain
    max_iterations  of the solver; None: min(inputs, outputs)
    merge           "paper": merge units until outputs >= inputs, as the authors' code does; layers
                    inside merged units get no map. "never": every layer keeps its map
    in_place        act as if every activation overwrote its input, as in the authors' code: the map
                    before a ReLU is the map after it, and neurons that the ReLU set to 0 are the
                    abandoned ones
    abandon         which neurons are abandoned (see naflow.reverse.abandon). "unused": those of
                    importance 0; "opposing": also those that speak against the score; "disputed":
                    also, in part, where a place's channels disagree; "doubtful": also where the
                    evidence is within chance
    contrast        explain a class's logit by its contrast with the other classes, as
                    scores.ClassContrast does
    reduce          "sum": ReLU(sum_k alpha_k x~_k) (Eq. 2); "positive": sum_k ReLU(alpha_k x~_k)

    Raises BadInput for a value outside its range.
    """

    truncate: bool = False
    drop_abandoned: bool = True
    anchor: Anchor = "zero"
    damping: float = 0.3
    offset: Offset = "local"
    tol: float = 1e-2
    max_iterations: int | None = 50
    merge: Merge = "never"
    in_place: bool = False
    abandon: Abandon = "unused"
    contrast: bool = False
    reduce: Reduce = "sum"

    @property
    def solves(self) -> bool:
        """Whether anything is inverted; if not, every x~ is the forward activation."""
        return self.damping < math.inf or self.anchor != "forward"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("anchor", get_args(Anchor)),
            ("offset", get_args(Offset)),
            ("merge", get_args(Merge)),
            ("abandon", get_args(Abandon)),
            ("reduce", get_args(Reduce)),
            ("truncate", (True, False)),
            ("drop_abandoned", (True, False)),
            ("in_place", (True, False)),
            ("contrast", (True, False)),
        ):
            if not is_one_of(getattr(self, name), allowed):
                options = " or ".join(repr(value) for value in allowed)
                raise BadInput(f"{name}={getattr(self, name)!r}: it must be {options}.")
        for name, kind, said in (
            ("damping", (int, float), "a number"),
            ("tol", (int, float), "a number"),
            ("max_iterations", (int, type(None)), "a whole number, or None"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise BadInput(f"{name}={getattr(self, name)!r}: it must be {said}.")
        if not self.damping >= 0:
            raise BadInput(
                f"damping={self.damping!r}: it must be a number >= 0 (math.inf allowed)."
            )
        if not 0 < self.tol < 1:
            raise BadInput(f"tol={self.tol!r}: it must lie between 0 and 1, as in 1e-4.")
        if self.max_iterations is not None and self.max_iterations < 1:
            raise BadInput(
                f"max_iterations={self.max_iterations!r}: it must be at least 1, or None."
            )


_PAPER = InverseConfig(
    truncate=True,
    drop_abandoned=True,
    anchor="zero",
    damping=0.0,
    offset="zero",
    tol=1e-8,
    max_iterations=None,
    merge="paper",
    in_place=True,
    reduce="positive",
)

PRESETS: dict[str, InverseConfig] = {
    # The output of the authors' code: its Jacobian is zero, so each inverse is the forward map.
    "released": replace(_PAPER, anchor="forward", damping=math.inf, truncate=False),
    # The equations as that code intends them, with its Jacobian repaired.
    "paper": _PAPER,
    # The equations with every row kept: what an unregularised inverse does.
    "plain": replace(_PAPER, drop_abandoned=False, in_place=False),
    # Regularised: the part of the layer's input that the kept neurons determine.
    "damped": InverseConfig(),
    # Regularised: the inverse nearest to the forward activation.
    "proximal": InverseConfig(drop_abandoned=False, anchor="forward"),
    # No inverse: the forward activation of the neurons that every layer above leaves.
    "selective": InverseConfig(
        drop_abandoned=False,
        anchor="forward",
        damping=math.inf,
        abandon="disputed",
        contrast=True,
    ),
    # The same, of evidence beyond chance only: a class without evidence gets maps of zeros.
    "tested": InverseConfig(
        drop_abandoned=False,
        anchor="forward",
        damping=math.inf,
        abandon="doubtful",
        contrast=True,
    ),
}


def resolve(preset: str | InverseConfig, **changes: object) -> InverseConfig:
    """Return the configuration of a preset, with single settings changed, as in damping=1.0.

    Raises BadInput, with similar names, for an unknown preset or setting.
    """
    if isinstance(preset, InverseConfig):
        config = preset
    elif isinstance(preset, str) and preset in PRESETS:
        config = PRESETS[preset]
    else:
        raise BadInput(f"There is no preset {preset!r}.{near_names(str(preset), PRESETS)}")
    known = [field.name for field in fields(InverseConfig)]
    for name in changes:
        if name not in known:
            raise BadInput(f"There is no setting {name!r}.{near_names(name, known)}")
    return replace(config, **changes)  # type: ignore[arg-type]
