"""What a network must reach before it is used."""

from collections.abc import Mapping

from naflow.errors import BadInput


def check(
    numbers: Mapping[str, float], gate: Mapping[str, float], subject: str, settings: str
) -> None:
    """Raises BadInput, with both numbers, for the first of `numbers` below its gate.

    `settings` is the part of the configuration that says how long to train and what to require.
    """
    for name, least in gate.items():
        if numbers[name] < least:
            raise BadInput(
                f"{subject}: {name} is {numbers[name]:.4f}, and at least {least:.4f} is required. "
                f"Train longer ({settings}), or require less ({settings}.gate)."
            )
