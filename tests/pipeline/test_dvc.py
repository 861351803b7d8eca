"""dvc.yaml lists whatever a stage reads: an edit that changes a result must rerun its stage."""

import ast
import subprocess
from pathlib import Path

import pytest
import ruamel.yaml
import yaml

from naflow.models import list_models

ROOT = Path(__file__).parents[2]
FIGURES = yaml.safe_load((ROOT / "conf" / "figures.yaml").read_text())
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

ROOMS = [f"{path.name}/" for path in (ROOT / "pipeline").iterdir() if path.is_dir()]

# Code that cannot change what a stage writes: entry point, file writing, logging, errors.
WITHOUT_EFFECT = {
    *(
        "pipeline/app.py",
        "pipeline/atomic.py",
        "pipeline/npy.py",
        "pipeline/settings.py",
        "pipeline/values.py",
        "pipeline/tracking.py",
    ),
    "pipeline/fingerprint.py",  # whether what a killed run left is gone on from
    "pipeline/profile.py",  # of most stages: the command line names their pictures
    *("naflow/__init__.py", "naflow/errors.py", "naflow/blocks.py", "naflow/atomic.py"),
    *("naflow/needed.py", "naflow/hashes.py"),
    *(f"pipeline/{room}__init__.py" for room in ("", *ROOMS)),
}


def body(stage):
    return STAGES[stage].get("do", STAGES[stage])


def imported(path: Path, seen: set[Path]) -> set[Path]:
    """The files of this repository that `path` imports, directly or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in found:
            for file in (
                ROOT / (name.replace(".", "/") + ".py"),
                ROOT / name.replace(".", "/") / "__init__.py",
            ):
                if file.exists() and file not in seen:
                    seen.add(file)
                    imported(file, seen)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_a_stage_imports_is_among_its_dependencies(stage):
    listed = body(stage)["deps"]
    assert f"pipeline/{stage}.py" in listed
    files = {
        path.relative_to(ROOT).as_posix()
        for path in imported(ROOT / "pipeline" / f"{stage}.py", set())
    }
    # Maps come from the library whole; a figure from plot.py alone, training and gathering from
    # none of it.
    drawn = {"naflow/plot.py"} if stage in ("explain", "gather") else set()
    library = {
        f for f in files if f.startswith("naflow/") and stage != "explain" and f != "naflow/plot.py"
    }
    missing = [
        file
        for file in sorted(files - WITHOUT_EFFECT - drawn - library)
        if not any(file == item or file.startswith(f"{item}/") for item in listed)
    ]
    assert not missing, f"dvc.yaml, stage {stage}: add {missing} to deps"


def test_everything_listed_exists():
    for stage in STAGES:
        for item in body(stage)["deps"]:
            made = item.startswith(("data/", "results/", "figures/"))
            assert "${" in item or made or (ROOT / item).exists(), item


def test_every_file_of_conf_is_read_by_some_stage():
    listed = {name for stage in STAGES for param in body(stage).get("params", []) for name in param}
    patterns = {name.split("${")[0] if "${" in name else name for name in listed}
    methods = FIGURES["methods"].split(",")
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        name = path.relative_to(ROOT).as_posix()
        if path.parent.name == "profile":  # what params.yaml may be
            continue
        if path.parent.name == "method" and path.stem not in methods:  # for sweeps
            continue
        if name == "conf/recipe/photographs.yaml":  # for pictures of one's own
            continue
        if path.parent.name in ("finetune", "segment", "experiment"):  # commands of their own
            continue
        assert any(name == p or (p.endswith("/") and name.startswith(p)) for p in patterns), name


def test_the_report_waits_for_every_figure():
    figures = {f"${{drawings}}/{name}.json" for name in (*FIGURES["figures"], "evaluation", "flow")}
    figures |= {"${drawings}/flow.npz"}
    assert figures == {item for item in body("report")["deps"] if item.startswith("${drawings}/")}


@pytest.mark.parametrize("stage", ["evaluate", "report"])
def test_what_gathers_maps_knows_the_profile(stage):
    assert "knobs=params.yaml" in body(stage)["cmd"]
    assert "verified" in body(stage)["params"]
    assert "pipeline/profile.py" in body(stage)["deps"]


PIPELINES = [ROOT / place / "dvc.yaml" for place in (".", "figures", "docs/method-study")]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.parent.name)
def test_what_a_configuration_file_inherits_is_listed_with_it(path):
    """DVC reads plain files: it does not follow a defaults list."""
    base = ["base/registered@_here_", "_self_"]
    for stage in yaml.safe_load(path.read_text())["stages"].values():
        params = [name for one in stage.get("do", stage).get("params", []) for name in one]
        models = [name for name in params if name.startswith("conf/model/")]
        assert not models or "conf/model/base/registered.yaml" in models, stage
    for file in (ROOT / "conf").glob("*/*.yaml"):
        inherited = yaml.safe_load(file.read_text()).get("defaults")
        assert file.parent.name == "experiment" or inherited in (None, base), file
        assert (inherited == base) == (file.parent.name == "model"), file


def test_knobs_are_used():
    text = (ROOT / "dvc.yaml").read_text()
    for knob in yaml.safe_load((ROOT / "params.yaml").read_text()):
        assert "${" + knob + "}" in text


def networks(figures):
    """Those that figures show: of all of the paper's, nine."""
    return {figure[key] for figure in figures.values() for key in ("model", "beside")}


PROFILES = sorted((ROOT / "conf" / "profile").glob("*.yaml"))


def read(path):
    return ruamel.yaml.YAML(typ="safe").load(path.read_text())


def test_the_embedded_profile_is_in_force():
    assert (ROOT / "params.yaml").read_text() == (
        ROOT / "conf" / "profile" / "embedded.yaml"
    ).read_text()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_gives_models_weights_and_a_check(path):
    """And each has a recipe that fits: steps where it is trained, what it starts from before it."""
    knobs = read(path)
    assert set(knobs["trained"]).isdisjoint(knobs["published"])
    shown = set(knobs["trained"]) | set(knobs["published"])
    assert networks(knobs["drawn"]) <= shown <= set(list_models())
    assert knobs["verified"] == knobs["trained"] | knobs["published"]
    for model, item in knobs["verified"].items():
        recipe = read(ROOT / "conf" / "recipe" / item["images"] / f"{model}.yaml")
        assert {"size", "fit", "verify", "gate"} <= set(recipe)
        assert ("steps" in recipe) == (model in knobs["trained"])
        start = (recipe.get("start") or {}).get("weights", item["data"])
        assert item["after"] == start
        assert (ROOT / "conf" / "images" / f"{item['images']}.yaml").exists()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_figure_is_drawn_or_said_to_be_absent(path):
    knobs = read(path)
    figures = {
        name: {key: figure[key] for key in ("model", "beside")}
        for name, figure in FIGURES["figures"].items()
    }
    assert {*knobs["drawn"], *knobs["absent"]} == set(figures)
    assert not {*knobs["drawn"]}.intersection(knobs["absent"])
    assert knobs["drawn"].items() <= figures.items()
    for name in knobs["absent"]:  # else it could be drawn
        assert not networks({name: figures[name]}) & set(knobs["verified"])


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_what_judges_a_network_is_among_the_dependencies_of_verify(path):
    knobs = read(path)
    listed = [dep.replace("${judges}", knobs["judges"]) for dep in body("verify")["deps"]]
    assert all((ROOT / dep).exists() for dep in listed if dep.startswith("pipeline/"))
    for model, item in knobs["verified"].items():
        recipe = read(ROOT / "conf" / "recipe" / item["images"] / f"{model}.yaml")
        module = recipe["verify"]["_target_"].rpartition(".")[0]
        file = f"{module.replace('.', '/')}.py"
        assert any(file == dep or file.startswith(f"{dep}/") for dep in listed), file


def rivals(figures):
    """Model -> the models whose decisions the rules of its figures read, itself among them."""
    found = {}
    for figure in figures.values():
        rule = figure["select"]
        named = {rule[key] for key in ("wrong", "right") if key in rule}
        found.setdefault(figure["model"], {figure["model"]}).update(named)
    return found


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_figure_needs_its_own_networks_alone(path):
    """So one that cannot be had costs no other figure."""
    knobs = read(path)
    verified, drawn = knobs["verified"], knobs["drawn"]
    of_profile = {name: FIGURES["figures"][name] for name in drawn}
    for model, needed in rivals(of_profile).items():
        assert {model, verified[model]["beside"]} == needed
    for figure in of_profile.values():
        assert verified[figure["model"]]["images"] == verified[figure["beside"]]["images"]
    wanted = {"results/decisions/${key}.csv", "results/decisions/${item.beside}.csv"}
    assert wanted == {dep for dep in body("select")["deps"] if dep.startswith("results/")}
    drawn = {dep for dep in body("figure")["deps"] if dep.startswith("results/")}
    assert drawn == {
        *("results/maps/${item.model}", "results/maps/${item.beside}"),
        "results/selected/${item.model}",
    }


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_pictures_are_known_by_one_small_file(path):
    """DVC would hash a linked folder whole, and do so again and again."""
    knobs = read(path)
    kinds = ("scenes", "downloads", "gathered")
    made = {f"data/{name}/index.csv" for kind in kinds for name in knobs[kind]}
    made |= {f"data/index/{name}.csv" for name in knobs["placed"]}
    assert {item["data"] for item in knobs["verified"].values()} == made  # and none in vain


def test_only_one_profile_draws_into_the_tracked_folder():
    drawings = {path.stem: read(path)["drawings"] for path in PROFILES}
    assert drawings.pop("embedded") == "figures"
    assert all(path.startswith("results/") for path in drawings.values())
    assert "/results/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_what_can_be_drawn_is_drawn_where_the_profile_says(path, tmp_path):
    """`make figures` goes on after a network that is not to be had."""
    (tmp_path / "params.yaml").write_text(path.read_text())
    makefile = str(ROOT / "Makefile")
    told = [
        subprocess.run(
            ["make", "--dry-run", "-f", makefile, "--assume-old=.venv/.done", target],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for target in ("figures", "rest")
    ]
    where = f"drawings={read(path)['drawings']} knobs=params.yaml"
    assert "dvc repro --keep-going ||" in told[0]
    assert f"pipeline.evaluate results=results {where} seed=0" in told[1]
    assert f"pipeline.report results=results {where}\n" in told[1]


def test_the_folder_that_pictures_are_linked_into_is_there():
    tracked = subprocess.run(
        ["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert tracked.split() == ["data/README.md"]


def test_profiles_have_the_same_knobs():
    first, *others = (set(read(path)) for path in PROFILES)
    assert all(first == other for other in others)
