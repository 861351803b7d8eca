"""A wrong choice of configuration is answered before anything starts."""

import pytest

from pipeline.app import check_choices


@pytest.mark.parametrize(
    "override",
    [
        "model=resnet18",
        "model=resnet18,resnet50_npid",
        "model=more/mobilenet_v2",
        "model=glob(*)",
        "recipe=shapes/resnet18",
        "recipe=null",
        "model.weights=any.pt",
        "seed=3",
        "hydra/launcher=joblib",
    ],
)
def test_choices_that_there_are(override):
    check_choices(["method=naflow", override])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model=resnet81", r"no conf/model/resnet81.yaml. Did you mean 'resnet18'"),
        ("method=naflow,grad_cam", r"no conf/method/grad_cam.yaml. Did you mean 'gradcam'"),
        ("recipe=shapes/resnet-18", r"Did you mean 'shapes/resnet18'"),
    ],
)
def test_near_names_for_those_that_there_are_not(override, sentence):
    with pytest.raises(SystemExit, match=sentence):
        check_choices([override])
