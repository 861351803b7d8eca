"""Stage `figure`: draw one figure of conf/figures.yaml from finished maps, as PNG and PDF.

python -m pipeline.figure figure=fig04 images=shapes
"""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from naflow import plot
from naflow.errors import BadInput, near_names
from pipeline.app import stage


@stage
def main(cfg: DictConfig) -> None:
    """Draw `cfg.figure` into `cfg.drawings`. Raises BadInput for an unknown name."""
    if cfg.figure not in cfg.figures:
        raise BadInput(
            f"figure={cfg.figure}: conf/figures.yaml has no such figure."
            f"{near_names(cfg.figure, cfg.figures)}"
        )
    images = instantiate(cfg.images)
    figure = instantiate(
        cfg.figures[cfg.figure], folder=Path(cfg.results) / images.name, images=images
    )
    Path(cfg.drawings).mkdir(parents=True, exist_ok=True)
    for ending in ("png", "pdf"):
        plot.save(figure, Path(cfg.drawings) / f"{cfg.figure}.{ending}")


if __name__ == "__main__":
    main()
