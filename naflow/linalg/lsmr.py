"""LSMR for a batch: least squares by products with A and A^T only, sample by sample.

Fong & Saunders, "LSMR: an iterative algorithm for sparse least-squares problems", SIAM J. Sci.
Comput. 33(5), 2011 (arXiv 1006.0758). Written from the paper; symbols are the paper's.
"""

import math

import torch
from torch import Tensor

from .bidiagonal import Bidiagonalisation, across, norm, plus
from .operators import LinearOperator
from .solution import Solution, Stop
from .spectrum import largest_singular_value


def attainable(tol: float, dtype: torch.dtype) -> float:
    """Return the tolerance, but at least four times the rounding unit of the dtype.

    That is about 4.8e-7 in float32 and 8.9e-16 in float64. Below it the recurrences report progress
    that rounding has undone.
    """
    return max(tol, 4 * torch.finfo(dtype).eps)


@torch.no_grad()
def lsmr(
    operator: LinearOperator,
    target: Tensor,
    *,
    start: Tensor | None = None,
    damping: float | Tensor = 0.0,
    relative_damping: float = 0.0,
    tol: float = 1e-8,
    condition_limit: float = 1e8,
    max_iterations: int | None = None,
    check_every: int | None = None,
) -> Solution:
    """Solve argmin_x ||A x - b||^2 + damping^2 ||x - start||^2 for each sample.

    Of several solutions it finds the one nearest to `start`. A sample that has stopped is frozen,
    and no sample changes another.

    Raises ValueError or TypeError if shapes, dtypes or settings do not fit. Numbers that are not
    finite do not raise: their sample stops as `Stop.NOT_FINITE`.

    Parameters
    ----------
    operator
        A, in float32 or float64.
    target
        b, (B, *out).
    start
        (B, *in); None is zero.
    damping
        >= 0, in the units of A's singular values; one number or (B,).
    relative_damping
        >= 0, added to damping, in units of ||A||_2 as `largest_singular_value` estimates it from
        b - A start (a close lower bound; the solver goes on from its steps).
    tol
        Relative; of the residual ||r|| and of the gradient ||A^T r|| (the paper's BTOL and ATOL),
        raised to `attainable(tol, dtype)`.
    condition_limit
        Stop when the condition estimate exceeds it (CONLIM); at most 1 / eps.
    max_iterations
        None is min(m, n), the smaller side of A.
    check_every
        The host asks the device only every so many iterations whether all samples have stopped, so
        up to check_every - 1 iterations may be wasted. None is 1 on the CPU, 8 elsewhere.

    """
    if check_every is None:
        check_every = 1 if operator.device.type == "cpu" else 8
    _check(operator, target, start, damping, check_every)
    eps = torch.finfo(operator.dtype).eps
    tol = attainable(tol, operator.dtype)
    condition_limit = min(condition_limit, 1 / eps)
    if max_iterations is None:
        sides = math.prod(operator.input_shape[1:]), math.prod(operator.output_shape[1:])
        max_iterations = min(sides)

    # In half precision, rmv would no longer be the transpose of mv.
    with torch.autocast(operator.device.type, enabled=False):
        first = target.new_zeros(()).expand(operator.input_shape) if start is None else start
        x = first
        process = Bidiagonalisation(
            operator, target if start is None else target - operator.mv(start)
        )
        alpha, beta = process.alpha, process.beta

        b_norm = norm(target)
        zero, one = torch.zeros_like(beta), torch.ones_like(beta)
        lam = one * damping
        if relative_damping:
            lam = lam + relative_damping * largest_singular_value(process)

        # A sample whose code is ITERATION_LIMIT is still running.
        stop = torch.full_like(beta, Stop.ITERATION_LIMIT, dtype=torch.int64)
        stop = stop.masked_fill(alpha == 0, Stop.ZERO)  # A^T r = 0
        stop = stop.masked_fill(~(alpha + beta).isfinite(), Stop.NOT_FINITE)
        iterations = torch.zeros_like(stop)
        condition = one

        # The recurrences at k = 0.
        h = h_bar = process.v  # h_bar is 0 at first: any tensor will do, as its first weight is 0
        alpha_bar, zeta_bar = alpha, alpha * beta
        rho, rho_bar, c_bar, s_bar, zeta = one, one, one, zero, zero
        beta_dd, beta_d, rho_d, tau_tilde, theta_tilde, squares = beta, zero, one, zero, zero, zero
        a_norm2, spare = alpha.square(), None
        rho_max, rho_min = zero, torch.full_like(beta, math.inf)

        for k in range(max_iterations):
            running = stop == Stop.ITERATION_LIMIT
            if k % check_every == 0 and not running.any():
                break
            process.step()
            alpha, beta = process.alpha, process.beta

            # Rotations that turn the damped B_k to R_k, and R_k^T to R_bar_k (sections 2.5, 5).
            c_hat, s_hat, alpha_hat = _rotation(alpha_bar, lam)
            rho_old, rho_bar_old, zeta_old = rho, rho_bar, zeta
            c, s, rho = _rotation(alpha_hat, beta)
            theta, alpha_bar = s * alpha, c * alpha
            theta_bar, rho_left = s_bar * rho, c_bar * rho
            c_bar, s_bar, rho_bar = _rotation(rho_left, theta)
            zeta, zeta_bar = c_bar * zeta_bar, -s_bar * zeta_bar

            # h_bar, x, h (section 2.8), in place where that overwrites nobody's vector: h always,
            # as the process no longer needs its first v; the others from the second step on.
            weight = -theta_bar * rho / (rho_old * rho_bar_old)
            h_bar = plus(h, weight, h_bar, out=h_bar if k else None)
            x_new = plus(x, zeta / (rho * rho_bar), h_bar, out=spare)
            plus(process.v, -theta / rho, h, out=h)

            # ||r|| of the damped system (section 3.3), ||A||_F, cond(A), ||A^T r||, ||x||.
            beta_hat, beta_check = c * c_hat * beta_dd, -s_hat * beta_dd
            beta_dd = -s * c_hat * beta_dd
            c_tilde, s_tilde, rho_tilde = _rotation(rho_d, theta_bar)
            theta_tilde_old, theta_tilde = theta_tilde, s_tilde * rho_bar
            rho_d = c_tilde * rho_bar
            beta_d = c_tilde * beta_hat - s_tilde * beta_d
            tau_tilde = (zeta_old - theta_tilde_old * tau_tilde) / rho_tilde
            tau_d = (zeta - theta_tilde * tau_tilde) / rho_d
            squares = squares + beta_check.square()
            r_norm = (squares + (beta_d - tau_d).square() + beta_dd.square()).sqrt()

            a_norm2 = a_norm2 + beta.square()
            a_norm = a_norm2.sqrt()
            a_norm2 = a_norm2 + alpha.square()

            if k > 0:
                rho_max = torch.maximum(rho_max, rho_bar_old)
                rho_min = torch.minimum(rho_min, rho_bar_old)
            spread = torch.maximum(rho_max, rho_left) / torch.minimum(rho_min, rho_left)

            gradient, x_norm = zeta_bar.abs(), norm(x_new)

            # The stopping rules (section 3.2), without divisions; if several hold, the last counts.
            accuracy = tol * (b_norm + a_norm * x_norm)
            finite = (r_norm + gradient + a_norm + x_norm).isfinite()
            for rule, code in (
                (spread >= condition_limit, Stop.ILL_CONDITIONED),
                (gradient <= tol * a_norm * r_norm, Stop.LEAST_SQUARES),
                (r_norm <= accuracy, Stop.COMPATIBLE),
                (~finite, Stop.NOT_FINITE),
            ):
                stop = stop.masked_fill(running & rule, code)
            iterations = iterations + running
            sound = running & finite
            torch.where(across(sound, x), x_new, x, out=x_new)
            x, spare = x_new, x if k else None  # the first x is the caller's, or an expanded zero
            condition = torch.where(sound, spread, condition)

        residual = norm(operator.mv(x) - target) / b_norm
    x = x.clone() if x is first else x
    return Solution(x, iterations, residual.masked_fill(b_norm == 0, 0), stop, condition)


def _rotation(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return c, s, r with c a + s b = r = ||(a, b)|| and c b = s a."""
    r = torch.hypot(a, b)
    return a / r, b / r, r


def _check(
    operator: LinearOperator,
    target: Tensor,
    start: Tensor | None,
    damping: float | Tensor,
    check_every: int,
) -> None:
    if operator.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"lsmr needs float32 or float64, not {operator.dtype}.")
    for name, tensor, shape in (
        ("target", target, operator.output_shape),
        ("start", start, operator.input_shape),
    ):
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}.")
        if tensor.dtype != operator.dtype:
            raise TypeError(f"{name} is {tensor.dtype}, the operator {operator.dtype}.")
    if isinstance(damping, Tensor):
        if damping.shape not in ((), operator.input_shape[:1]):
            raise ValueError(
                f"damping is one number or one per sample, ({operator.input_shape[0]},), "
                f"not shape {tuple(damping.shape)}."
            )
    elif not damping >= 0:
        raise ValueError(f"damping must be at least 0, not {damping}.")
    if check_every < 1:
        raise ValueError(f"check_every must be at least 1, not {check_every}.")
