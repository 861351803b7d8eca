"""Stage `select`: the pictures that the figures of one model show, found by rule.

    python -m pipeline.select model=resnet18 images=shapes

Reads what all verified networks decided, and writes for every figure of the model which pictures it
shows, by what rule, and among how many; and the list of cases that `explain` needs: those, both
ways round where two pictures are likened, and the model's first pictures.
"""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from pipeline.app import stage
from pipeline.explanations import cases
from pipeline.explanations.cases import Case, in_turn
from pipeline.judging import selection
from pipeline.judging.decisions import Decided


@stage
def main(cfg: DictConfig) -> None:
    """Select."""
    select(cfg)


def select(cfg: DictConfig) -> Path:
    """Write results/selected/model; returns that folder. Raises BadInput where a network that a
    rule names was not verified."""
    model, images = cfg.model.name, instantiate(cfg.images)
    decided = Decided(Path(cfg.results) / "decisions")
    folder = Path(cfg.results) / "selected" / model
    shown = []
    for figure, settings in cfg.figures.items():
        if settings.model == model:
            found = instantiate(settings.select)(str(figure), model, decided, images)
            shown += [one.case for one in found.chosen]
            selection.write(folder / f"{figure}.json", found)
    first = [Case(one.picture, one.reference) for one in in_turn(decided[model])]
    cases.write(folder / "cases.json", both_ways(shown) + both_ways(first)[: cfg.explain.pictures])
    return folder


def both_ways(pairs: list[Case]) -> list[Case]:
    """Each case, and where it is a likeness the same from the other side."""
    return [way for case in pairs for way in ((case, case.turned) if case.reference else (case,))]


if __name__ == "__main__":
    main()
