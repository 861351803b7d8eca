"""Where code is called by name, and where the name can come from: the configuration alone."""

import ast
from importlib.metadata import version
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

import pipeline

CONFIGURED = {
    # What is called is said by a file of conf/, or by whoever types the command line.
    "explain": {"cfg.images", "cfg.method"},
    "figure": {"claim", "entry.draw"},  # of cfg.figures
    "forecast": {"settings | parts", "step.objective"},  # of conf/recipe
    "index": {"cfg.images"},
    "finetune": {"cfg.images", "chosen['explainer']"},  # of cfg.finetune
    "invert": {"cfg.images", "cfg.method"},
    "measure": {"cfg.images", "cfg.method"},
    "regions": {"one"},  # of cfg.segment.methods
    "segment": {"asked.model.network"},  # of cfg.segment
    "select": {"cfg.images", "settings.select"},  # of cfg.figures
    "settings": {"asked.images", "asked.targets"},  # of cfg.segment
    "train": {"cfg.images", "cfg.model.network", "step.objective"},  # of cfg.recipe.steps
    "verify": {"cfg.images", "settings | parts"},  # of cfg.recipe.verify, and parts of a folder
    "weights": {"model.network"},  # of cfg; what a file of weights tells is given to it, unseen
}
LOCATED = {
    "protocols": {"self.scores"},  # of cfg.recipe.verify
    "recorded": {"named"},  # by a manifest, and only where a file of conf/ names it, too
    "weights": {"model.network._target_"},  # of cfg
}
BY_NAME = {"get_class", "get_method", "get_object", "get_static_method"}


def calls(names):
    """Module -> what stands in the calls of functions of these names."""
    found = {}
    for file in sorted(Path(pipeline.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                name = getattr(called, "attr", getattr(called, "id", ""))
                if name in names:
                    found.setdefault(file.stem, set()).add(ast.unparse(node.args[0]))
    return found


def test_every_call_by_name_is_known():
    """A new one is added above, with where its name comes from: never from a file of data."""
    assert calls({"instantiate"}) == CONFIGURED
    assert calls(BY_NAME) == LOCATED
    assert calls({"import_module", "__import__"}) == {}


def test_nothing_in_the_pipeline_unpickles_freely():
    assert calls({"read_pickle", "Unpickler", "open_pickle"}) == {}
    for file in sorted(Path(pipeline.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            called = f"{ast.unparse(node.func.value)}.{node.func.attr}"
            where = f"{file.name}:{node.lineno}"
            assert called not in ("pickle.load", "pickle.loads", "joblib.load"), where
            assert called != "torch.load" or given.get("weights_only") is True, where
            assert called != "yaml.load", where
            assert not given.get("allow_pickle"), where


@pytest.mark.parametrize(
    "name", ["os.system", "posix.system", "pathlib.os.system", "builtins.exec"]
)
def test_hydra_itself_refuses_the_plainest_attacks(name, tmp_path):
    """As it does from the version on that pyproject.toml asks for."""
    assert tuple(map(int, version("hydra-core").split("."))) >= (1, 3, 6)
    with pytest.raises(InstantiationException):
        instantiate({"_target_": name, "_args_": [f"touch {tmp_path}/mark"]})
    assert not list(tmp_path.iterdir())
