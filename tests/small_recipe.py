"""Recipes of conf/ made small enough for tests."""


def steps(*names: str, epochs: int = 1) -> list[str]:
    """Overrides that make steps of a recipe as small as the scenes are."""
    return [
        f"recipe.steps.{name}.{small}"
        for name in names
        for small in ("pixels=32", f"schedule.phases=[{{size: 32, epochs: {epochs}}}]")
    ] + [f"recipe.steps.{name}.schedule.batch={1 if name == 'episodes' else 6}" for name in names]
