"""Stage `select`: choose by rules the pictures that the figures of one model show.

    python -m pipeline.select model=resnet18 images=shapes

Reads the decisions of all verified networks. Writes for every figure of the model which pictures it
shows, by what rule, and among how many. Also writes the list of cases that `explain` needs: these
pictures (for a similarity, with picture and reference exchanged, too) and the model's first ones.
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
    """Write results/selected/model; return that folder. Raises BadInput if a network that a rule
    names was not verified."""
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
    """Return each case and, if it is a similarity, the same with picture and reference
    exchanged."""
    return [way for case in pairs for way in ((case, case.turned) if case.reference else (case,))]


if __name__ == "__main__":
    main()
