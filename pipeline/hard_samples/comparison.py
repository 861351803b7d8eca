"""Compare ways of training (arms) pair by pair, on the same seeds and test pictures."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.stats import t as student
from torch import Tensor

from naflow.errors import BadInput
from naflow.metrics import bootstrap


def compared(
    arms: Mapping[str, Tensor], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, dict]:
    """Compare every two arms; each is (S, T) bool: which of T test pictures each of S seeds got
    right. Returns "b - a" -> numbers:

    seeds, mean                  difference of accuracy for each seed, and its mean
    low, high                    Student's interval over seeds: would other trainings say the same?
    pictures_low, pictures_high  bootstrap interval over test pictures: would other pictures?

    Raises BadInput for fewer than two seeds.
    """
    differences = {}
    for (first, a), (second, b) in combinations(arms.items(), 2):
        pairs = b.double() - a.double()
        mean, low, high = interval(pairs.mean(1).numpy(), confidence)
        shown = bootstrap(pairs.mean(0)[:, None].numpy(), resamples, confidence, seed)
        differences[f"{second} - {first}"] = rounded(
            {
                "seeds": pairs.mean(1).tolist(),
                "mean": mean,
                "low": low,
                "high": high,
                "pictures_low": float(shown.low[0]),
                "pictures_high": float(shown.high[0]),
            }
        )
    return differences


def accuracies(right: Tensor) -> dict:
    """Return the accuracy of each seed of one arm (S, T) bool, and their mean."""
    return rounded({"seeds": right.double().mean(1).tolist(), "mean": float(right.double().mean())})


def interval(values: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Return the mean of independent values (n,), and its Student's interval. Raises BadInput for
    n < 2."""
    if len(values) < 2:
        raise BadInput("finetune.seeds: an interval needs two seeds or more.")
    mean, spread = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5
    reach = float(student.ppf((1 + confidence) / 2, len(values) - 1)) * spread
    return mean, mean - reach, mean + reach


def rounded(numbers: dict) -> dict:
    """Round numbers and lists of numbers to six digits."""
    return {
        name: [round(one, 6) for one in value] if isinstance(value, list) else round(value, 6)
        for name, value in numbers.items()
    }


def table(before: float, arms: Mapping[str, dict], differences: Mapping[str, dict]) -> str:
    """Return accuracies and differences as text, in percent."""
    lines = [f"{'before':24} {before:7.1%}"]
    lines += [f"{name:24} {one['mean']:7.1%}" for name, one in arms.items()]
    lines += [
        f"{name:24} {one['mean']:+7.1%}   seeds {one['low']:+.1%} to {one['high']:+.1%}"
        f"   pictures {one['pictures_low']:+.1%} to {one['pictures_high']:+.1%}"
        for name, one in differences.items()
    ]
    return "\n".join(lines)
