"""Stage `absent`: the placeholder of a figure that the profile in use does not have.

    python -m pipeline.absent figure=fig10 drawings=results/photographs

Writes the figure's JSON file, which gives the reason; the page shows it.
"""

from pathlib import Path

from omegaconf import DictConfig

from pipeline.app import stage
from pipeline.atomic import write_json


@stage
def main(cfg: DictConfig) -> None:
    """Write the JSON file."""
    absent(cfg)


def absent(cfg: DictConfig) -> Path:
    """Write the JSON file of `cfg.figure` into `cfg.drawings`; return its path."""
    entry = cfg.figures[cfg.figure]
    networks = " and ".join(dict.fromkeys((entry.model, entry.beside)))
    why = f"it is not of this profile, which has no weights of {networks}."
    path = Path(cfg.drawings) / f"{cfg.figure}.json"
    write_json(path, {"figure": cfg.figure, "absent": why})
    return path


if __name__ == "__main__":
    main()
