"""Wrong settings are told in a sentence, before any work."""

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from naflow.errors import BadInput
from pipeline.app import CONF, sentence
from pipeline.pictures.images import FITS
from pipeline.settings import FIT, SETTINGS, TREE, check

GRAMMAR = OverridesParser.create()
STEP = "recipe.steps.classification"


@pytest.fixture(scope="module")
def whole():
    """All of conf/, with the groups that only some stages ask for."""
    chosen = ["+segment=horse", "+finetune=shapes"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", chosen)


@pytest.fixture
def given(whole):
    """All of it after an override, as typed: a value, a new key (+), or a key taken away (~)."""

    def changed(override):
        cfg, read = whole.copy(), GRAMMAR.parse_override(override)
        path, _, last = read.key_or_group.rpartition(".")
        if read.is_delete():
            with_keys = OmegaConf.select(cfg, path) if path else cfg
            OmegaConf.set_struct(cfg, False)
            del with_keys[last]
        else:
            OmegaConf.update(cfg, read.key_or_group, read.value(), merge=False, force_add=True)
        return cfg

    return changed


def test_the_shipped_settings_are_right(whole):
    check(whole)


@pytest.mark.parametrize("model", ["resnet50_npid", "conv64f", "more/mobilenet_v2"])
def test_every_group_is_right(config, model):
    check(config(f"model={model}"))


def keys(path, values):
    """Every key of a file that holds a value, as a path."""
    if not isinstance(values, dict) or not values:
        return [path]
    return [key for name, value in values.items() for key in keys(f"{path}.{name}", value)]


@pytest.mark.parametrize("group", ["recipe", "images", "finetune", "segment", "model"])
def test_every_setting_of_every_file_is_listed(group):
    for file in sorted((CONF / group).rglob("*.yaml")):
        said = yaml.safe_load(file.read_text())
        said.pop("defaults", None)  # of Hydra, no setting
        for path in keys(group, said):
            one = TREE
            for name in path.split("."):
                if not one.inside:  # settings of what is called
                    break
                one = one.inside.get(name, one.inside.get("*"))
                assert one, f"{file}: {path}"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("explain.batch=0", "explain.batch=0: it must be a whole number of 1 or more"),
        ("explain.pictures=0", "explain.pictures=0: it must be a whole number of 1 or more or"),
        ("explain.pictures=-3", "explain.pictures=-3: it must be a whole number"),
        ("explain.batch=2.5", "explain.batch=2.5"),
        ("explain.batch=true", "explain.batch=True"),
        ("explain.part.split=zzz", "explain.part.split=zzz: it must be train, val or test or null"),
        ("explain.part.group=[a]", "explain.part.group=.*it must be text or null"),
        ("explain=5", "explain=5: it has settings of its own, as in explain.part.group=..."),
        ("~explain.batch", "explain.batch is missing: it must be a whole number of 1 or more"),
        ("~tracking", "tracking is missing: it has settings of its own, as in tracking.mode"),
        ("+explain.bach=4", "explain.bach: there is no such setting. Did you mean 'batch'"),
        ("+nonesuch.a=4", "nonesuch: there is no such setting"),
        ("model.input.fit=zz", "model.input.fit=zz: it must be crop, centre, stretch or box"),
        ("recipe.fit=zz", "fit=zz: it must be crop, centre, stretch or box"),  # the input's follows
        ("model.task=zzz", "model.task=zzz: it must be classification, discrimination"),
        ("model.input.mean=[1]", r"model.input.mean=\[1\]: it must be a list of 3 values"),
        ("model.input.std=[1,0,1]", "each a number above 0"),
        ("model.input.size=abc", "model.input.size=abc"),
        ("model.input.size=2000000", "it must be a whole number of 1 or more, up to 16384"),
        ("model.weights=null", "model.weights=null: it must be text"),
        ("model.name=a/b", "model.name=a/b: it must be a name without a slash"),
        ("measure.name=..", "measure.name=..: it must be a name without a slash or null"),
        ("evaluate.confidence=1", "evaluate.confidence=1: it must be a number between 0 and 1"),
        ("evaluate.tolerance=nan", "evaluate.tolerance=nan: it must be a number from 0 to 1"),
        ("seed=-1", "seed=-1: it must be a whole number of 0 or more, up to 4294967295"),
        ("results=null", "results=null: it must be text"),
        ("recipe.steps=5", "recipe.steps=5: it has settings of its own, as in recipe.steps.NAME"),
        ("recipe.start=5", "recipe.start=5: it must be null, or has settings of its own"),
        (f"{STEP}=5", f"{STEP}=5: it has settings of its own"),
        (f"{STEP}.pixels=0", f"{STEP}.pixels=0"),
        (f"{STEP}.schedule.warmup=2", "warmup=2: it must be a number of 0 or more, below 1"),
        (f"{STEP}.schedule.warmup=1", "warmup=1: it must be"),
        (f"{STEP}.schedule.warmup=-0.1", "warmup=-0.1: it must be"),
        (f"{STEP}.schedule.rate=inf", "rate=inf: it must be a number above 0"),
        (f"{STEP}.schedule.phases=[]", r"phases=\[\]: it must be a list of 1 values or more"),
        (f"{STEP}.schedule.phases=[{{size: 0, epochs: 1}}]", "each {size: pixels, epochs: number}"),
        (
            f"+{STEP}.schedule.milestones=[2]",
            r"milestones=\[2\]: it must be a list of values, each",
        ),
        (f"+{STEP}.augmentation.crop=0", "crop=0: it must be a number above 0, up to 1"),
        (f"{STEP}.augmentation.flip=2", "flip=2: it must be true or false"),
        (f"+{STEP}.augmentation.zom=0", "zom: there is no such setting. Did you mean 'zoom'"),
        (f"+{STEP}.objective.smoothing=1", "smoothing=1"),
        ("recipe.gate.top1=95", "recipe.gate.top1=95: it must be a number from 0 to 1"),
        ("recipe.verify.part.split=tset", "recipe.verify.part.split=tset: it must be train"),
        ("+recipe.verify.top=[0]", r"recipe.verify.top=\[0\]"),
        ("+recipe.verify.ways=1", "recipe.verify.ways=1: it must be a whole number of 2 or more"),
        ("scenes.count.base.test=-1", "scenes.count.base.test=-1: it must be a whole number of 0"),
        ("scenes.count.base=-1", "scenes.count.base=-1: it has settings of its own"),
        ("scenes.count=-1", "scenes.count=-1: it has settings of its own"),
        ("scenes.classes.base=disc", "scenes.classes.base=disc: it must be a list of 1 values or"),
        ("images.splits.val=7", "images.splits.val=7: it must be text or null"),
        ("images.columns.box=[a]", "images.columns.box="),
        ("figures=5", "figures=5: it has settings of its own, as in figures.NAME.model"),
        ("figures.fig04=5", "figures.fig04=5: it has settings of its own"),
        ("figures.fig04.claims=[5]", r"claims=\[5\]: it must be a list of values, each settings"),
        ("methods=5", "methods=5: it must be text"),
        ("method=5", "method=5: it has settings of its own, as in method._target_"),
        ("tracking.mode=on", "tracking.mode=on: it must be offline, online or disabled"),
        ("finetune.hard=0", "finetune.hard=0: it must be a number above 0, up to 1"),
        ("segment.least=2", "segment.least=2"),
        ("segment.questions=[]", r"segment.questions=\[\]"),
    ],
)
def test_wrong_ones(given, override, told):
    with pytest.raises(BadInput, match=told):
        check(given(override))


@pytest.mark.parametrize(
    "override",
    [
        "quiet=null",
        "explain.part.group=null",
        "+images.select.subset=birds",
        "images.root=???",
        "+method.damping=1",
        "+layers.own=[a]",
        f"{STEP}.schedule.warmup=0",
        "scenes.count.val.test=0",
    ],
)
def test_right_ones(given, override):
    check(given(override))


def test_no_setting_takes_a_list_of_settings(whole):
    tried = 0
    for path, kind in SETTINGS.items():
        path = path.replace("*.*", "base.test").replace("steps.*", "steps.classification")
        path = path.replace("figures.*", "figures.fig04").replace("arms.*", "arms.background")
        tried += 1
        cfg = whole.copy()
        OmegaConf.update(cfg, path.replace("*", "any"), [{"a": 1}], force_add=True, merge=False)
        with pytest.raises(BadInput, match=r"=\[.*: it must be ") as refused:
            check(cfg)
        assert kind.words in str(refused.value)
    assert tried > 200


def test_what_is_told_of_errors_that_are_not_ours():
    full = OSError(28, "No space left on device", "results/a.npz")
    assert sentence(full).startswith("results/a.npz: No space left on device.")
    with pytest.raises(Exception, match="target") as wrong:
        instantiate({"_target_": "pathlib.PurePath", "zzz": 1}, _convert_="all")
    told = sentence(wrong.value)
    assert told.startswith("The configuration cannot be used: ") and "\n" not in told


def test_fits_are_those_of_pictures():
    assert {fit for fit in FITS if FIT.allows(fit)} == set(FITS)
    assert FIT.words.replace(" or ", ", ").split(", ") == list(FITS)
