"""Stage `figure`: draw one figure of conf/figures.yaml from finished maps.

python -m pipeline.figure figure=fig04

Writes it as PNG and PDF, with a JSON file that holds its caption, its numbers, the pictures shown,
and the outcome of each claim that the paper's text makes.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from naflow.errors import BadInput, near_names
from pipeline.app import stage
from pipeline.atomic import write_json
from pipeline.figures.page import publish
from pipeline.material.view import Material, gathered


@stage
def main(cfg: DictConfig) -> None:
    """Draw."""
    draw(cfg)


def draw(cfg: DictConfig) -> Path:
    """Draw `cfg.figure` into `cfg.drawings`; return its JSON file.

    Raises BadInput for an unknown name, and for maps and pictures that do not exist.
    """
    if cfg.figure not in cfg.figures:
        raise BadInput(
            f"figure={cfg.figure}: conf/figures.yaml has no such figure."
            f"{near_names(cfg.figure, cfg.figures)}"
        )
    entry = cfg.figures[cfg.figure]
    material = gathered(
        Path(cfg.results), cfg.figure, entry.model, entry.beside, cfg.methods.split(",")
    )
    if not material.selection.chosen:
        raise BadInput(
            f"{cfg.figure} has no picture to show: {material.selection.rule}: there is not "
            f"even a near one among {material.selection.counts}. See what its networks decide "
            "(dvc metrics show), or change its rule in conf/figures.yaml."
        )
    claims = [
        instantiate(claim, method=method)(material)
        for claim in entry.claims
        for method in cfg.checked
    ]
    drawn = instantiate(entry.draw, _partial_=True)(material, claims)
    place = Path(cfg.drawings) / cfg.figure
    publish(drawn.figure, place)
    content = {
        "figure": cfg.figure,
        "title": drawn.title,
        "caption": drawn.caption,
        "claims": [asdict(claim) for claim in claims],
        "pictures": shown(material),
        "selection": {
            "rule": material.selection.rule,
            "met": material.selection.met,
            "counts": material.selection.counts,
        },
    }
    write_json(place.with_suffix(".json"), content | drawn.numbers)
    return place.with_suffix(".json")


def shown(material: Material) -> list[dict[str, Any]]:
    """Return, for each picture shown, the decision, its confidence, and why it was chosen."""
    return [
        asdict(one.decision)
        | {"right": one.decision.right, "why": one.why}
        | {"cosine" if view.case.reference else "probability": round(view.confidence, 4)}
        for one, view in zip(material.selection.chosen, material.views, strict=True)
    ]


if __name__ == "__main__":
    main()
