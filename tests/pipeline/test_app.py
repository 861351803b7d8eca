"""A wrong choice of configuration is answered before anything starts."""

import subprocess
import sys

import matplotlib
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue
from torch import OutOfMemoryError

from pipeline.app import check_choices, sentence, stage


@pytest.mark.parametrize(
    "override",
    [
        "model=resnet18",
        "model=resnet18,resnet50_npid",
        "model=more/mobilenet_v2",
        "model=glob(*)",
        "recipe=shapes/resnet18",
        "+segment=shapes",
        "model='resnet18'",
        "~recipe",
        "method=[naflow]",
        "method=choice(naflow,gradcam)",
        "-m",
        "--config-name=other",
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
        ("method=5", r"method=5: there is no conf/method/5.yaml"),
        ("+method=5", r"there is no conf/method/5.yaml"),
        ("+segment=horses", r"Did you mean 'horse'"),
        ("method=[naflow,5]", r"there is no conf/method/5.yaml"),
        ("model={a: 1}", r"model={a: 1}: there is no conf/model/"),
        ("recipe=null", r"recipe=null: it must be one of cub/conv4net, "),
        ("hydra=5", r"hydra=5: it has settings of its own"),
    ],
)
def test_near_names_for_those_that_there_are_not(override, sentence):
    with pytest.raises(SystemExit, match=sentence):
        check_choices([override])


def test_a_value_that_everyone_gives_alone_is_asked_for_by_name():
    cfg = OmegaConf.create({"images": {"root": "???"}})
    with pytest.raises(MissingMandatoryValue) as missing:
        cfg.images.root  # noqa: B018, the look is what raises
    assert sentence(missing.value) == "images.root is missing: give it, as in images.root=..."


def test_figures_do_not_depend_on_whose_machine_it_is(config):
    found = {}
    with matplotlib.rc_context({"savefig.bbox": "tight", "text.usetex": True, "font.size": 40}):
        stage(lambda cfg: found.update(matplotlib.rcParams))(config())
    shipped = matplotlib.rcParamsDefault
    assert {name for name in found if found[name] != shipped[name]} <= {"backend"}


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OutOfMemoryError()],
)
def test_memory_that_runs_out_is_a_sentence(config, error, monkeypatch):
    def run_out(_):
        raise error

    monkeypatch.setattr("pipeline.app.alone", lambda: True)
    with pytest.raises(SystemExit, match=r"memory ran out: use smaller batches"):
        stage(run_out)(config())


def test_other_errors_of_the_run_keep_their_trace(config, monkeypatch):
    monkeypatch.setattr("pipeline.app.alone", lambda: True)

    def fail(_):
        raise RuntimeError("no memory of it")

    with pytest.raises(RuntimeError, match="no memory of it"):
        stage(fail)(config())


def test_a_wrong_word_does_not_wait_for_torch():
    code = "import sys\nimport pipeline.app\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
