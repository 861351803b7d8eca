"""The report's file: what it holds, that it is one file, and how mistakes are told."""

import base64
import io
import json
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_maps import LAYERS, made
from matplotlib import colormaps
from omegaconf import OmegaConf
from PIL import Image

from naflow.errors import BadInput
from naflow.page import encoded
from pipeline import report as stage
from pipeline.explanations.cases import Case
from pipeline.judging import selection
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection
from pipeline.pictures.images import Folder
from pipeline.pictures.pixels import read

CLASSES = [Case("disc_test_000"), Case("cross_test_000"), Case("disc_test_001")]
PAIR = Case("key_test_000", "key_test_001")


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of the content script."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.content = [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.content is None and self.tags and self.tags[-1][1].get("id") == "content":
            self.content = json.loads(data)


@pytest.fixture
def cfg(config):
    return config("++report.all=false")


@pytest.fixture
def images(cfg):
    return OmegaConf.to_container(cfg.images, resolve=True)


@pytest.fixture
def values(tmp_path, images):
    """Maps of a classifier under two methods, and of a likeness both ways: their arrays."""
    root = tmp_path / "results" / "maps"
    return {
        "naflow": made(root / "resnet18" / "naflow", images, CLASSES),
        "gradcam": made(root / "resnet18" / "gradcam", images, CLASSES, seed=1),
        "pair": made(root / "conv64f" / "naflow", images, [PAIR, PAIR.turned], seed=2),
    }


def choose(cfg, figure, model, *cases):
    chosen = [
        Chosen(Decision(case.picture, case.picture, "disc", "disc", 0.5, case.reference), "right")
        for case in cases
    ]
    path = f"{cfg.results}/selected/{model}/{figure}.json"
    selection.write(Path(path), Selection(figure, model, "a rule", True, tuple(chosen)))


def parsed(cfg):
    return Tags(stage.report(cfg).read_text(encoding="utf-8"))


def shown(content):
    return {
        model["name"]: [(case["picture"], case["reference"]) for case in model["cases"]]
        for model in content["models"]
    }


@pytest.mark.usefixtures("values")
def test_one_file_that_refers_to_no_other(cfg):
    page = parsed(cfg)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    text = stage.report(cfg).read_text()
    for word in ("http:", "https:", "url(", "@import", "fetch(", "XMLHttpRequest", "import("):
        assert word not in text, word
    policy = next(a["content"] for _, a in page.tags if "Content-Security-Policy" in a.values())
    assert policy.startswith("default-src 'none'")
    for left in ("/* page.css */", "/* scripts */", "/* content */"):
        assert left not in text


def test_every_value_of_every_map_is_in_it(cfg, values):
    models = {model["name"]: model for model in parsed(cfg).content["models"]}
    assert shown(parsed(cfg).content)["resnet18"] == [(case.picture, "") for case in CLASSES]
    assert [method["name"] for method in models["resnet18"]["methods"]] == [
        "Grad-CAM",  # in the order of naflow.methods
        "NAFlow (selective)",
    ]
    for model, key, name in (
        ("resnet18", "naflow", "naflow"),
        ("resnet18", "gradcam", "gradcam"),
        ("conv64f", "naflow", "pair"),
    ):
        for row, case in enumerate(models[model]["cases"]):
            flow = case["flows"][key]
            halves = np.frombuffer(zlib.decompress(base64.b64decode(flow["maps"])), "<f2")
            for (layer, shape), exponent in zip(LAYERS.items(), flow["exponents"], strict=True):
                size = shape[0] * shape[1]
                found, halves = halves[:size].astype(float) / 2.0**exponent, halves[size:]
                wanted = values[name][layer][row]
                floor = wanted.max() * 2.0**-28
                np.testing.assert_allclose(found.reshape(shape), wanted, 2**-11, floor)
            assert not halves.size


@pytest.mark.parametrize("size", [1e-30, 1e-4, 1.0, 65504.0, 1e30])
def test_no_range_is_lost(size):
    wanted = np.float32(size) * np.array([[1, 0.5], [1e-6, 0]], np.float32)
    told = encoded.flow([wanted, 0 * wanted])
    halves = np.frombuffer(zlib.decompress(base64.b64decode(told["maps"])), "<f2").astype(float)
    found = np.ldexp(halves[:4], -told["exponents"][0])
    np.testing.assert_allclose(found, wanted.ravel(), 2**-11)
    assert not halves[4:].any()


@pytest.mark.usefixtures("values")
def test_what_is_said_of_a_picture(cfg):
    models = {model["name"]: model for model in parsed(cfg).content["models"]}
    first, second, _ = models["resnet18"]["cases"]
    assert (first["prediction"], second["prediction"]) == ("cross", "disc")
    assert first["confidence"] == pytest.approx(0.6)
    assert models["resnet18"]["pictures"]["disc_test_000"]["label"] == "disc"
    assert first["contributions"] is None
    stats = first["flows"]["naflow"]["stats"]
    assert stats["iterations"] == [0, 5, 10]
    assert stats["residual"] == [0, 0.25, 0.5]
    assert stats["stop"] == ["closed_form", "least_squares", "least_squares"]
    assert first["flows"]["gradcam"]["stats"] == {}
    likeness = models["conv64f"]["cases"][0]
    assert likeness["prediction"] is None
    assert likeness["contributions"]["components"] == 20
    weights = [weight for _, weight in likeness["contributions"]["largest"]]
    assert weights == sorted(weights, reverse=True) and len(weights) == 16


@pytest.mark.usefixtures("values")
def test_photographs_as_the_models_see_them_each_once(cfg, images):
    content = parsed(cfg).content
    folder = Folder(**{key: value for key, value in images.items() if key != "_target_"})
    numbers = set()
    for model in content["models"]:
        for key, picture in model["pictures"].items():
            address = content["photographs"][picture["photograph"]]
            file = io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))
            wanted = read([folder.of_id(key)], [], 32, "crop", quiet=True).images[0]
            np.testing.assert_array_equal(np.asarray(Image.open(file)), wanted.permute(1, 2, 0))
            numbers.add(picture["photograph"])
    assert numbers == set(range(5)) and len(content["photographs"]) == 5


def test_two_models_share_a_photograph(cfg, images, tmp_path):
    for model in ("resnet18", "resnet50"):
        made(tmp_path / "results" / "maps" / model / "naflow", images, CLASSES[:1])
    assert len(parsed(cfg).content["photographs"]) == 1


@pytest.mark.usefixtures("values")
def test_only_the_pictures_of_figures_unless_all_are_wanted(cfg, config, images, tmp_path):
    beside = tmp_path / "results" / "maps" / "resnet50" / "naflow"
    made(beside, images, [CLASSES[2], CLASSES[1]])
    choose(cfg, "fig04", "resnet18", CLASSES[1])
    choose(cfg, "fig10", "conv64f", PAIR)
    content = parsed(cfg).content
    assert shown(content) == {
        "conv64f": [(PAIR.picture, PAIR.reference), (PAIR.reference, PAIR.picture)],
        "resnet18": [("cross_test_000", "")],
        "resnet50": [("cross_test_000", "")],
    }
    assert [(figure["name"], figure["cases"]) for figure in content["figures"]] == [
        ("fig04", {"resnet18": [["cross_test_000", ""]], "resnet50": [["cross_test_000", ""]]}),
        ("fig10", {"conv64f": [[PAIR.picture, PAIR.reference]]}),
    ]
    assert content["figures"][0]["chosen"][0]["why"] == "right"
    everything = parsed(config("++report.all=true")).content
    assert [len(cases) for cases in shown(everything).values()] == [2, 3, 2]


@pytest.mark.usefixtures("values")
def test_captions_and_claims_come_from_the_figures(cfg):
    folder = Path(cfg.drawings)
    folder.mkdir()
    claims = [{"claim": "It does.", "holds": None, "numbers": {"share": float("nan")}}]
    about = {"title": "A title", "caption": "A caption.", "claims": claims}
    (folder / "fig04.json").write_text(json.dumps(about))
    figure = parsed(cfg).content["figures"][0]
    assert (figure["title"], figure["caption"]) == ("A title", "A caption.")
    assert figure["claims"] == [{"claim": "It does.", "holds": None, "numbers": {"share": None}}]
    assert figure["cases"] is None


@pytest.mark.usefixtures("values")
def test_a_selection_whose_model_has_no_maps_is_told_as_such(cfg):
    choose(cfg, "fig04", "resnet18", CLASSES[0])
    choose(cfg, "fig05", "resnet101", CLASSES[0])
    figures = parsed(cfg).content["figures"]
    assert figures[0]["cases"] and figures[1]["cases"] == {}


@pytest.fixture
def profile(tmp_path):
    """A profile of two networks, one of them on pictures that none of its maps are of."""
    path = tmp_path / "params.yaml"
    path.write_text("verified: {conv64f: {images: shapes}, resnet18: {images: imagenet}}\n")
    return path


@pytest.mark.usefixtures("values")
def test_what_could_not_be_drawn_is_said_and_the_rest_is_shown(config, profile, tmp_path, caplog):
    """The maps of another profile are still there, and so are its figures."""
    figures = {
        "fig04": "{model: resnet18, beside: resnet18}",
        "fig08": "{model: conv64f, beside: resnet18}",
        "fig10": "{model: conv64f, beside: conv64f}",
        "fig11": "{model: conv64f, beside: conv64f}",
    }
    cfg = config(f"knobs={profile}", "methods=naflow", "++report.all=false")
    cfg.figures = OmegaConf.create("{" + ", ".join(f"{k}: {v}" for k, v in figures.items()) + "}")
    choose(cfg, "fig04", "resnet18", CLASSES[0])
    choose(cfg, "fig10", "conv64f", PAIR)
    Path(cfg.drawings).mkdir()
    for name in ("fig04", "fig10"):
        (Path(cfg.drawings) / f"{name}.json").write_text('{"title": "A title"}')
    content = parsed(cfg).content
    assert list(shown(content)) == ["conv64f"]
    assert [figure["name"] for figure in content["figures"]] == ["fig10"]
    assert content["absent"] == {
        "fig04": "maps of resnet18 are missing.",
        "fig08": "maps of resnet18 are missing.",
        "fig11": "its stage did not end: dvc repro figure@fig11 tells why.",
    }
    assert "fig08 was not drawn: maps of resnet18 are missing." in caplog.text
    cfg.knobs = None
    assert parsed(cfg).content["absent"] == {}
    assert set(shown(parsed(cfg).content)) == {"conv64f", "resnet18"}


@pytest.mark.usefixtures("values")
def test_what_a_profile_lacks_is_said_in_its_own_words(cfg):
    choose(cfg, "fig04", "resnet18", CLASSES[0])
    Path(cfg.drawings).mkdir()
    (Path(cfg.drawings) / "fig10.json").write_text('{"figure": "fig10", "absent": "why"}')
    content = parsed(cfg).content
    assert content["absent"] == {"fig10": "why"}
    assert [figure["name"] for figure in content["figures"]] == ["fig04"]


def test_a_method_that_is_missing_is_a_missing_figure(config, images, profile, tmp_path):
    made(tmp_path / "results" / "maps" / "conv64f" / "naflow", images, [PAIR, PAIR.turned])
    cfg = config(f"knobs={profile}", "methods='naflow,gradcam'")
    cfg.figures = OmegaConf.create("{fig10: {model: conv64f, beside: conv64f}}")
    absent = parsed(cfg).content["absent"]
    assert absent == {"fig10": "maps of conv64f are missing."}


@pytest.mark.usefixtures("values")
def test_the_same_inputs_give_the_same_bytes(cfg):
    choose(cfg, "fig04", "resnet18", *CLASSES)
    first = stage.report(cfg).read_bytes()
    assert stage.report(cfg).read_bytes() == first
    assert b"\r" not in first


def test_infinite_statistics_have_no_number():
    assert encoded.number(float("inf")) is None
    assert encoded.number(np.float32(0.1)) == 0.1


def test_names_are_text_and_never_tags(cfg, images, tmp_path):
    hostile = "</script><img src=x onerror=alert(1)>&amp;\u2028"
    root = tmp_path / "hostile"
    root.mkdir()
    Image.new("RGB", (8, 8)).save(root / "a.png")
    (root / "index.csv").write_text(f"id,image,class\n{hostile},a.png,{hostile}\n")
    settings = {
        "_target_": images["_target_"],
        "root": str(root),
        "name": "x",
        "index": "index.csv",
    }
    folder = tmp_path / "results" / "maps" / "resnet18" / "naflow"
    made(folder, settings, [Case(hostile)], classes=[hostile])
    page = parsed(cfg)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2 and "img" not in tags
    assert page.content["models"][0]["cases"][0]["prediction"] == hostile
    assert page.content["models"][0]["pictures"][hostile]["label"] == hostile


def test_classes_are_told_in_words(cfg, images, tmp_path):
    root, label = tmp_path / "named", "n01484850 great_white shark"
    root.mkdir()
    Image.new("RGB", (8, 8)).save(root / "a.png")
    (root / "index.csv").write_text(f"id,image,class\na,a.png,{label}\n")
    settings = images | {"root": str(root), "name": "x", "columns": {"id": "id"}}
    folder = tmp_path / "results" / "maps" / "resnet18" / "naflow"
    made(folder, settings, [Case("a")], classes=[label])
    chosen = Chosen(Decision("a", "a", label, label, 0.5), "right")
    path = Path(f"{cfg.results}/selected/resnet18/fig04.json")
    selection.write(path, Selection("fig04", "resnet18", "a rule", True, (chosen,)))
    content = parsed(cfg).content
    model, (figure,) = content["models"][0], content["figures"]
    told = [model["cases"][0]["prediction"], model["pictures"]["a"]["label"]]
    told += [figure["chosen"][0]["label"], figure["chosen"][0]["predicted"]]
    assert told == ["great white shark"] * 4


def test_what_is_missing_is_said_with_what_to_do(cfg):
    with pytest.raises(BadInput, match=r"maps holds no finished maps.*python -m pipeline\.explain"):
        stage.report(cfg)


@pytest.mark.usefixtures("values")
def test_a_selected_picture_without_maps_is_named(cfg):
    choose(cfg, "fig04", "resnet18", Case("disc_test_009"))
    with pytest.raises(BadInput, match=r"no picture 'disc_test_009'\. Did you mean"):
        stage.report(cfg)


@pytest.mark.usefixtures("values")
def test_selections_of_other_models_alone_leave_nothing(cfg):
    choose(cfg, "fig05", "resnet101", Case("elsewhere"))
    with pytest.raises(BadInput, match="No picture of the selections was explained"):
        stage.report(cfg)


@pytest.mark.usefixtures("values")
def test_a_broken_figure_file_is_named(cfg):
    Path(cfg.drawings).mkdir()
    (Path(cfg.drawings) / "fig04.json").write_text("{")
    with pytest.raises(BadInput, match=r"fig04\.json cannot be read .* figure=fig04"):
        stage.report(cfg)
    (Path(cfg.drawings) / "fig04.json").unlink()
    (Path(cfg.drawings) / "evaluation.json").write_text("[")
    with pytest.raises(BadInput, match=r"evaluation\.json cannot be read .* pipeline\.evaluate"):
        stage.report(cfg)


@pytest.mark.parametrize("content", ["", "[]", "null", "5", "[" * 100_000, '{"a": ' * 100_000])
def test_no_file_of_a_figure_is_more_than_an_object(content, tmp_path):
    (tmp_path / "fig04.json").write_text(content)
    with pytest.raises(BadInput, match=r"fig04\.json cannot be read .* figure=fig04"):
        stage.read(tmp_path / "fig04.json", stage.is_figure)


@pytest.mark.parametrize(
    "content",
    [
        '{"title": 5}',
        '{"caption": ["a"]}',
        '{"claims": 5}',
        '{"claims": [5]}',
        '{"claims": [{"claim": {}}]}',
        '{"claims": [{"holds": "yes"}]}',
    ],
)
def test_a_figure_that_the_page_cannot_show(content, tmp_path):
    (tmp_path / "fig04.json").write_text(content)
    with pytest.raises(BadInput, match=r"fig04\.json cannot be read \(it is not as its stage"):
        stage.read(tmp_path / "fig04.json", stage.is_figure)


@pytest.mark.parametrize("content", ['{"a": 5}', '{"a": {"b": 5}}', '{"a": {"b": {"c": "x"}}}'])
def test_an_evaluation_that_the_page_cannot_show(content, tmp_path):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(BadInput, match=r"not as its stage writes it.*pipeline\.evaluate"):
        stage.read(tmp_path / "evaluation.json", stage.is_evaluation)


def test_numbers_that_are_none_become_none(tmp_path):
    (tmp_path / "fig04.json").write_text('{"a": [1e999, -1e999, NaN, Infinity, 0.5, 3]}')
    assert stage.read(tmp_path / "fig04.json", stage.is_figure) == {
        "a": [None, None, None, None, 0.5, 3]
    }


@pytest.mark.usefixtures("values")
def test_what_was_evaluated_is_told(cfg):
    assert parsed(cfg).content["evaluated"] == {}
    ratios = {"resnet18": {"naflow": {"first": 1.5, "middle": 1.25, "last": None, "layers": 1.4}}}
    (Path(cfg.drawings) / "evaluation.json").write_text(json.dumps(ratios))
    assert parsed(cfg).content["evaluated"] == ratios


def test_the_colours_are_those_of_the_figures():
    table = np.frombuffer(base64.b64decode(encoded.colours()), np.uint8).reshape(256, 3)
    wanted = colormaps["YlOrRd"](np.linspace(0, 1, 256))[:, :3]
    np.testing.assert_allclose(table / 255, wanted, atol=0.5 / 255 + 1e-9)
