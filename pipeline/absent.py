"""Stage `absent`: what stands in the place of a figure that the profile in force does not have.

    python -m pipeline.absent figure=fig10 drawings=results/photographs

Writes its JSON file, which says why; the page tells it.
"""

from pathlib import Path

from omegaconf import DictConfig

from pipeline.app import stage
from pipeline.atomic import write_json


@stage
def main(cfg: DictConfig) -> None:
    """Say it."""
    absent(cfg)


def absent(cfg: DictConfig) -> Path:
    """Write the JSON file of `cfg.figure` into `cfg.drawings`; returns its path."""
    entry = cfg.figures[cfg.figure]
    networks = " and ".join(dict.fromkeys((entry.model, entry.beside)))
    why = f"it is not of this profile, which has no weights of {networks}."
    path = Path(cfg.drawings) / f"{cfg.figure}.json"
    write_json(path, {"figure": cfg.figure, "absent": why})
    return path


if __name__ == "__main__":
    main()
