"""What a network must reach before it is used."""

from collections.abc import Mapping

from naflow.errors import BadInput


def check(
    numbers: Mapping[str, float],
    gate: Mapping[str, float],
    subject: str,
    settings: str,
    remedy: str | None = None,
) -> None:
    """Raises BadInput, with both numbers, for the first of `numbers` below its gate or NaN.

    settings  the part of the configuration that says how long to train and what to require
    remedy    what to do; None: train longer
    """
    remedy = remedy or f"Train longer ({settings})"
    for name, least in gate.items():
        if name not in numbers:
            raise BadInput(
                f"{settings}.gate.{name}: {subject} is not measured in this. Measured: "
                f"{', '.join(numbers)}."
            )
        if not numbers[name] >= least:
            raise BadInput(
                f"{subject}: {name} is {numbers[name]:.4f}, and at least {least:.4f} is required. "
                f"{remedy}, or require less ({settings}.gate)."
            )
