"""Check that an inverse rule keeps its contract, for rules that users write."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from naflow.inverses import ForwardUnit, Inverse
from naflow.linalg import Solution
from naflow.presets import InverseConfig
from naflow.run.cut import Unit, upstream
from naflow.run.preserve import preserved
from naflow.run.run import run


def unit_of(module: nn.Module, x: Tensor) -> Unit:
    """Return a module, run at the input x (B, ...), as one unit."""
    with preserved(module):
        ran = run(module, x, check=False)
    (end,) = ran.ends()
    operations = tuple(upstream(ran, [end]))
    return Unit(type(module).__name__, ran.images, end, operations)


def check_inverse(
    rule: Inverse,
    module: nn.Module,
    x: Tensor,
    config: InverseConfig | None = None,
    tol: float = 1e-6,
) -> None:
    """Check a rule on one module at the input x (B, ...), in float64 and on small shapes.

    1. matches(unit) is True for the module's unit, and the module and its input are not changed.
    2. The back-propagated feature map (BPFM) is finite, has x's shape, dtype and device, and one
       value of each statistic per image.
    3. A batch gives the same as its images one by one.
    4. With nothing abandoned and no damping, the rule returns the forward input if the unit's
       Jacobian J has full column rank; otherwise J x~ = J x.
    5. The target 0 gives a finite BPFM.

    config: the undamped inverse by default. Raises AssertionError, saying which point fails.
    """
    config = config or InverseConfig(
        damping=0.0, drop_abandoned=False, tol=1e-12, max_iterations=10_000
    )
    module, x = copy.deepcopy(module).double().eval(), x.double()
    label = f"{type(rule).__name__} on {type(module).__name__}"
    assert rule.matches(unit_of(module, x)), f"{label}: matches() is False."
    state = {name: value.clone() for name, value in module.state_dict().items()}
    given = x.clone()
    with torch.no_grad():
        y = module(x.clone())

    solution = _run(rule, module, x, y, config)
    _check_shapes(solution, x, label)
    assert torch.equal(x, given), f"{label}: it overwrote its input."
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), f"{label}: it changed the module's {name}."

    for i in range(len(x)):
        single = _run(rule, module, x[i : i + 1], y[i : i + 1], config).value
        difference = float((single - solution.value[i : i + 1]).abs().max())
        assert difference <= tol * float(x.abs().max() + 1), (
            f"{label}: image {i} alone differs from image {i} in the batch by {difference:.1e}."
        )

    for i in range(len(x)):
        matrix = jacobian(lambda v: module(v.clone()), x[i : i + 1])
        matrix = matrix.reshape(y[i].numel(), x[i].numel())
        gap = (solution.value[i] - x[i]).flatten()
        if torch.linalg.matrix_rank(matrix) < x[i].numel():
            gap = matrix @ gap  # only J x~ is determined
        error = float(gap.norm() / x[i].norm())
        assert error <= tol, (
            f"{label}: with nothing abandoned it must give back the forward input (or what the "
            f"layer passes of it); image {i} is {error:.1e} off."
        )

    nothing = _run(rule, module, x, torch.zeros_like(y), config)
    assert bool(nothing.value.isfinite().all()), f"{label}: the target 0 gives NaN or infinity."


def _run(
    rule: Inverse, module: nn.Module, x: Tensor, target: Tensor, config: InverseConfig
) -> Solution:
    with torch.no_grad():
        unit = ForwardUnit(unit_of(module, x), x, module(x.clone()))
    return rule(unit, target.clone(), config)


def _check_shapes(solution: Solution, x: Tensor, label: str) -> None:
    value = solution.value
    assert value.shape == x.shape, (
        f"{label}: the BPFM has shape {tuple(value.shape)}, the unit's input {tuple(x.shape)}."
    )
    assert (value.dtype, value.device) == (x.dtype, x.device), (
        f"{label}: the BPFM is {value.dtype} on {value.device}, the input {x.dtype} on {x.device}."
    )
    assert bool(value.isfinite().all()), f"{label}: the BPFM holds NaN or infinity."
    for name in ("iterations", "residual", "stop", "condition"):
        shape = tuple(getattr(solution, name).shape)
        assert shape == (len(x),), f"{label}: {name} has shape {shape}, not ({len(x)},)."
