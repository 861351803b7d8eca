"""The gate: the validation metrics that a network must reach before it is used."""

from collections.abc import Mapping

from naflow.errors import BadInput


def check(
    numbers: Mapping[str, float],
    gate: Mapping[str, float],
    subject: str,
    settings: str,
    remedy: str | None = None,
) -> None:
    """Raise BadInput, with both numbers, for the first of `numbers` that is below its gate or NaN.

    settings  the section of the configuration that sets training and gate
    remedy    the advice of the error; None: train longer
    """
    remedy = remedy or f"Train longer ({settings})"
    for name, least in gate.items():
        if name not in numbers:
            raise BadInput(
                f"{settings}.gate.{name}: there is no such metric of {subject}. Measured: "
                f"{', '.join(numbers)}."
            )
        if not numbers[name] >= least:
            raise BadInput(
                f"{subject}: {name} is {numbers[name]:.4f}, and at least {least:.4f} is required. "
                f"{remedy}, or require less ({settings}.gate)."
            )
