"""The profile in force decides which pictures a network is shown where the command does not."""

import pytest
from hydra import compose, initialize_config_dir

from naflow.errors import BadInput
from naflow.models import list_models
from pipeline import profile
from pipeline.app import CONF, check_profile
from pipeline.profile import current, shown

PAPER = CONF / "profile" / "paper.yaml"


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def test_profiles_show_networks_that_there_are_on_pictures_that_there_are():
    for path in (CONF / "profile").glob("*.yaml"):
        assert len(shown(path)) >= 6 and set(shown(path)) <= set(list_models())
        for images in shown(path).values():
            assert composed(f"images={images}").images.name == images


@pytest.mark.parametrize(
    ("overrides", "images", "recipe"),
    [
        ((), "imagenet", "published"),
        (("model=conv64f",), "cub", "trained"),
        (("model=resnet50_ms",), "cub_retrieval", "trained"),
        (("model=conv64f", "images=shapes"), "shapes", "trained"),
        (("model=more/mobilenet_v2", "model.weights=data/weights/shapes/x.pt"), "shapes", "none"),
    ],
)
def test_stages_by_hand_show_what_the_profile_shows(monkeypatch, overrides, images, recipe):
    monkeypatch.setattr(profile, "IN_FORCE", PAPER)
    cfg = composed(*overrides)
    assert cfg.images.name == images
    assert cfg.model.weights.startswith(f"data/weights/{images}/")
    found = "trained" if "steps" in cfg.recipe else "published" if "gate" in cfg.recipe else "none"
    assert found == recipe


def test_the_profile_in_force_is_asked_and_no_other():
    assert composed("model=conv64f").images.name == shown()["conv64f"]


@pytest.mark.parametrize("text", ["", "verified: 3", "verified: {resnet18: {}}", "{", "a: b"])
def test_what_is_no_profile(tmp_path, monkeypatch, text):
    path = tmp_path / "params.yaml"
    with pytest.raises(BadInput, match=r"params.yaml is no profile .*cp conf/profile/embedded"):
        shown(path)
    path.write_text(text)
    with pytest.raises(BadInput, match=r"params.yaml is no profile"):
        shown(path)
    monkeypatch.setattr(profile, "IN_FORCE", path)
    with pytest.raises(SystemExit, match=r"params.yaml is no profile"):
        check_profile()


def test_maps_of_another_profile_are_told():
    manifest = {"model": "resnet18", "settings": {"images": {"name": "shapes"}}}
    assert current(manifest, None)
    assert current(manifest, {"resnet18": "shapes"})
    assert not current(manifest, {"resnet18": "imagenet"})
    assert not current(manifest, {"resnet50": "shapes"})
