"""A figure that a profile lacks is said, with the networks it would need."""

from omegaconf import OmegaConf

from pipeline.absent import absent
from pipeline.report import is_figure, read


def test_why_it_is_not_there(tmp_path):
    cfg = OmegaConf.create("{figure: fig10, figures: {fig10: {model: conv64f, beside: conv4net}}}")
    cfg.drawings = str(tmp_path)
    told = read(absent(cfg), is_figure)
    assert told["absent"] == (
        "it is not of this profile, which has no weights of conv64f and conv4net."
    )
