"""The command line, through main(argv): what it writes, what it says, and how it ends."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from networks import Residual, randomised
from PIL import Image

import naflow
from naflow import NAFlow, models, plot
from naflow.cli import main
from naflow.cli.methods import NAMES
from naflow.cli.photos import PhotoFile, square
from naflow.explainers import GradCAM
from naflow.models import Input, checkpoint
from naflow.models.preprocessing import normalised
from naflow.scores import ChannelContribution, ClassLogit, SimilarityContrast

SIZE = ["--size", "32", "--device", "cpu"]


def picture(seed: int = 0, width: int = 64, height: int = 64) -> Image.Image:
    """Coarse coloured patches, so that a JPEG keeps them."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BILINEAR)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    picture().save(path)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A state dict of networks:Residual, with a known content."""
    torch.manual_seed(1)
    path = tmp_path / "residual.pt"
    torch.save(randomised(Residual()).state_dict(), path)
    return path


def explain(out: Path, *words: object) -> list[str]:
    return ["explain", *map(str, words), "--out", str(out), *SIZE]


def residual(out: Path, *words: object) -> list[str]:
    return explain(out, *words, "--model", "networks:Residual")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".lock"
    }


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """The one sentence on stderr."""
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    line = said.err.splitlines()[-1]
    assert line.startswith("naflow: ") and "Traceback" not in said.err
    assert len([ln for ln in said.err.splitlines() if "RANDOM WEIGHTS" not in ln]) == 1
    return line


def test_maps_statistics_and_predictions_are_the_librarys(
    photo: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, names = tmp_path / "out", tmp_path / "names.txt"
    names.write_text("ant\nbee\ncat\ndog\n")
    words = ("--weights", weights, "--labels", names, "--target", "cat", "--layers", "all")
    words += ("--method", "naflow")
    assert main(residual(out, photo, *words, "gradcam", "--preset", "proximal")) == 0
    assert "photo.png: cat (" in capsys.readouterr().out

    model = Residual()
    model.load_state_dict(torch.load(weights, weights_only=True))
    pixels = np.asarray(picture().resize((32, 32), Image.Resampling.BILINEAR))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = ((torch.tensor(pixels) / 255 - mean) / std).permute(2, 0, 1)[None]
    flow = NAFlow(model, "proximal")(images, ClassLogit(2))

    content = manifest(out)
    [(key, entry)] = content["photos"].items()
    assert entry["sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert key == f"photo-{entry['sha256'][:32]}" and entry["file"] == photo.as_posix()
    assert content["failed"] == []
    assert content["settings"]["weights"] == {
        "file": "residual.pt",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    assert content["settings"]["preset"]["name"] == "proximal"
    assert content["settings"]["target"] == 2

    probabilities = model.eval()(images)[0].softmax(0).tolist()
    assert [p["confidence"] for p in entry["predictions"]] == pytest.approx(
        sorted(probabilities, reverse=True), rel=1e-4
    )
    for prediction in entry["predictions"]:
        assert prediction["name"] == ["ant", "bee", "cat", "dog"][prediction["index"]]

    said = entry["methods"]["naflow"]
    assert said["explained"]["name"] == "cat"
    assert said["explained"]["score"] == pytest.approx(float(flow.score), rel=1e-4)
    assert said["layers"] == flow.layers
    with np.load(out / key / "naflow" / "maps.npz") as maps:
        assert list(maps) == flow.layers
        for layer, found in flow:
            np.testing.assert_allclose(maps[layer], found[0].numpy(), rtol=1e-4, atol=1e-7)
    for layer, stats in flow.stats.items():
        written = said["statistics"][layer]
        assert written["rule"] == stats.rule
        assert written["iterations"] == int(stats.iterations[0])
        assert written["residual"] == pytest.approx(float(stats.residual[0]), rel=1e-3, abs=1e-5)
        assert written["abandoned"] == pytest.approx(float(stats.abandoned[0]), rel=1e-4)
    assert entry["methods"]["gradcam"]["statistics"] == {}

    named = {f for m in entry["methods"].values() for f in m["files"]}
    assert named | {"manifest.json"} == set(contents(out))
    last = Image.open(out / max(f for f in said["files"] if Path(f).name[0].isdigit()))
    expected = plot.overlay(pixels / 255, flow.maps[flow.layers[-1]][0].numpy())
    assert last.size == (32, 32)
    np.testing.assert_allclose(np.asarray(last), expected * 255, atol=1)


def test_a_strip_shows_the_photo_and_every_layer(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(residual(out, photo, "--method", "layercam")) == 0
    [entry] = manifest(out)["photos"].values()
    said = entry["methods"]["layercam"]
    strip = np.asarray(
        Image.open(out / next(f for f in said["files"] if f.endswith("strip.png"))).convert("RGB")
    ).astype(int)
    # A panel is a run of columns that are not all white, at the height where panels are.
    inked = (strip < 250).any(2)[strip.shape[0] // 2 - 40 : strip.shape[0] // 2 + 20]
    edges = np.flatnonzero(np.diff(inked.mean(0) > 0.9))
    assert len(edges) == 2 * (len(said["layers"]) + 1)
    assert (strip.max(2) - strip.min(2)).max() > 60  # the photo is in colour


def test_the_same_inputs_give_the_same_files(photo: Path, weights: Path, tmp_path: Path) -> None:
    words = (photo, "--weights", weights, "--method", "naflow", "hirescam", "lrp")
    for out in ("a", "b"):
        assert main(residual(tmp_path / out, *words)) == 0
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert len(first) == 17
    assert first == second


def test_batches_give_the_maps_of_single_photos(tmp_path: Path, weights: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        picture(seed).save(photos / f"{seed}.png")
    (photos / "notes.txt").write_text("no photo")
    for batch in ("1", "2"):
        argv = residual(tmp_path / batch, photos, "--weights", weights, "--batch", batch)
        assert main(argv) == 0
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one.keys() == two.keys()
    assert len(manifest(tmp_path / "2")["photos"]) == 3
    for name in one:
        if name.endswith(".npz"):
            with np.load(tmp_path / "1" / name) as a, np.load(tmp_path / "2" / name) as b:
                for layer in a:
                    np.testing.assert_allclose(a[layer], b[layer], rtol=1e-3, atol=1e-5)


def test_an_interrupted_run_goes_on(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = []
    for seed in range(3):
        photos.append(tmp_path / f"{seed}.png")
        picture(seed).save(photos[-1])
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = (*photos, "--weights", weights, "--method", "gradcam")
    assert main(residual(whole, *words)) == 0

    true, calls = GradCAM.explain, []

    def interrupted(self: GradCAM, *given: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return true(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(GradCAM, "explain", interrupted)
    capsys.readouterr()
    assert main(residual(out, *words)) == 130
    said = capsys.readouterr()
    assert (
        said.err == ""
        and "run the same command again to continue from here" in said.out.splitlines()[-1]
    )
    assert len(manifest(out)["photos"]) == 1
    assert main(residual(out, *words)) == 0
    assert "1 of 3 photos: explained before" in capsys.readouterr().out.splitlines()[-1]
    assert len(calls) == 4  # the first photo was not done again
    assert contents(out) == contents(whole)
    assert main(residual(out, *words)) == 0
    assert len(calls) == 4

    lost = next(out.glob("1-*/gradcam/strip.png"))
    lost.unlink()
    assert main(residual(out, *words)) == 0
    assert len(calls) == 5 and contents(out) == contents(whole)


def test_a_folder_of_another_run_is_left_alone(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(residual(out, photo, "--method", "gradcam", "--quiet")) == 0
    before = contents(out)
    words = ("--method", "layercam", "--target", "1")
    said = refused(capsys, residual(out, photo, *words))
    assert "holds a run with other settings (methods, target): give another --out" in said
    assert contents(out) == before
    content = manifest(out)
    [key] = content["photos"]
    for damaged in (
        "", "[]", "null", "5", "{}", "[" * 100_000, '{"a": ' * 100_000, "9" * 5000,
        json.dumps(content | {"photos": []}),
        json.dumps(content | {"photos": {key: []}}),
        json.dumps(content | {"photos": {key: {"methods": ["gradcam"]}}}),
        json.dumps(content | {"photos": {key: {"methods": {"gradcam": 5}}}}),
        json.dumps(content | {"photos": {key: {"methods": {"gradcam": {"files": "x"}}}}}),
        json.dumps(content | {"photos": {key: {"methods": {"gradcam": {"files": [5]}}}}}),
        json.dumps(content | {"settings": [[5, "x"]]}),
        json.dumps(content | {"versions": None}),
    ):  # fmt: skip
        (out / "manifest.json").write_text(damaged)
        words = ("--method", "gradcam", "--quiet")
        assert "no manifest of naflow" in refused(capsys, residual(out, photo, *words)), damaged


def test_a_damaged_photo_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    picture(0).save(photos / "a.jpg")
    (photos / "b.jpg").write_bytes((photos / "a.jpg").read_bytes()[:700])
    picture(2).save(photos / "c.jpg")
    (photos / "d.png").write_bytes(b"")
    argv = residual(out, photos, "--method", "gradcam", "--batch", "3")
    assert main(argv) == 1
    said = capsys.readouterr()
    head, *lines = said.err.splitlines()
    assert head == "naflow: not everything could be explained:"
    assert len(lines) == 2
    assert "b.jpg cannot be decoded (OSError: image file is truncated" in lines[0]
    assert "d.png is no picture of a kind that is read (JPEG, " in lines[1]
    assert [entry["file"][-5:] for entry in manifest(out)["photos"].values()] == ["a.jpg", "c.jpg"]
    assert manifest(out)["failed"] == [line.strip() for line in lines]
    assert main(argv) == 1  # told again


def test_one_photo_that_cannot_be_explained_leaves_its_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dim", SimpleNamespace(Dark=Dark))
    picture(0).save(tmp_path / "a.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    argv = explain(
        tmp_path / "out",
        *(tmp_path / "a.png", tmp_path / "black.png"),
        *("--model", "dim:Dark", "--method", "hirescam"),
        *("--batch", "2", "--mean", "0", "0", "0", "--std", "1", "1", "1"),
    )
    assert main(argv) == 1
    assert "black.png, hirescam: The score of images [0] has zero gradient" in (
        capsys.readouterr().err
    )
    [entry] = manifest(tmp_path / "out")["photos"].values()
    assert entry["file"].endswith("a.png")


class Dark(torch.nn.Module):
    """Its score, a mean less a little if that is positive, is flat around a black picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.relu = torch.nn.ReLU()
        torch.nn.init.constant_(self.conv.weight, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.relu(self.conv(x)).mean((2, 3)) - 0.1).relu()


def test_an_embedding_is_explained_by_its_reference(tmp_path: Path, photo: Path) -> None:
    reference, out = tmp_path / "reference.png", tmp_path / "out"
    picture(5).save(reference)
    model = models.create("conv4net")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    words = ("--model", "conv4net", "--weights", tmp_path / "w.pt", "--reference", reference)
    assert main(explain(out, photo, *words, "--method", "gradcam", "--layers", "block3.act")) == 0
    images, other = (
        normalised([square(PhotoFile(p, p.read_bytes()), Input(32))], *_imagenet)
        for p in (photo, reference)
    )
    flow = GradCAM(model)(images, ChannelContribution(model(other)))
    [(key, entry)] = manifest(out)["photos"].items()
    assert entry["predictions"] == []
    assert entry["methods"]["gradcam"]["layers"] == ["block3.act"]
    assert list(entry["methods"]["gradcam"]["explained"]) == ["score"]
    with np.load(out / key / "gradcam" / "maps.npz") as maps:
        assert list(maps) == ["block3.act"]
        np.testing.assert_allclose(maps["block3.act"], flow["block3.act"][0], rtol=1e-4)


def test_a_similarity_is_contrasted_with_that_to_others(tmp_path: Path, photo: Path) -> None:
    reference, others, out = tmp_path / "reference.png", tmp_path / "others", tmp_path / "out"
    others.mkdir()
    picture(5).save(reference)
    for place, seed in ((others / "a.png", 6), (others / "b.png", 7), (others / "same.png", 5)):
        picture(seed).save(place)
    model = models.create("conv4net")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    words = ["--model", "conv4net", "--weights", tmp_path / "w.pt", "--reference", reference]
    words += ["--against", others, "--method", "gradcam", "--layers", "block3.act"]
    assert main(explain(out, photo, *words, "--batch", "2")) == 0
    query, other, *rest = (
        normalised([square(PhotoFile(p, p.read_bytes()), Input(32))], *_imagenet)
        for p in (photo, reference, others / "a.png", others / "b.png")
    )
    score = SimilarityContrast(model(other), torch.cat([model(one) for one in rest]))
    flow = GradCAM(model)(query, score)
    [key] = manifest(out)["photos"]
    with np.load(out / key / "gradcam" / "maps.npz") as maps:
        np.testing.assert_allclose(maps["block3.act"], flow["block3.act"][0], rtol=1e-3)
    first = manifest(out)["settings"]["against"]
    picture(8).save(others / "b.png")
    assert main(explain(tmp_path / "again", photo, *words)) == 0
    assert manifest(tmp_path / "again")["settings"]["against"] != first


def test_nothing_to_contrast_with_is_told(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", "conv4net", "--random-weights", "--against")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:200])
    for more, told in (
        ((photo,), "--against contrasts the similarity to a --reference"),
        ((photo, "--reference", photo), "--against: there are no photos besides the reference"),
        ((tmp_path / "none", "--reference", photo), "--against: .*none: there is no such photo"),
        ((tmp_path / "cut.png", "--reference", photo), "--against: .*cut.png .*Give other photos"),
    ):
        assert main(explain(tmp_path / "out", photo, *words, *more)) == 2
        assert re.search(told, capsys.readouterr().err)


def test_a_reference_is_read_as_every_photo_is(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large, pipe = tmp_path / "large.png", tmp_path / "pipe.png"
    with large.open("wb") as file:
        file.truncate(2**29 + 1)
    os.mkfifo(pipe)
    for reference, told in ((large, "at most 536,870,912 are read"), (pipe, "is a pipe")):
        words = ("--model", "conv4net", "--random-weights", "--reference", reference)
        assert main(explain(tmp_path / "out", photo, *words)) != 0
        assert told in capsys.readouterr().err


_imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def decoded(image: Image.Image, ending: str, **settings: object) -> np.ndarray:
    file = io.BytesIO()
    image.save(file, ending, **settings)
    return square(PhotoFile(Path("photo"), file.getvalue()), Input(64)).astype(int)


def test_photos_of_every_mode() -> None:
    image = picture()
    true = np.asarray(image).astype(int)
    assert (decoded(image, "png") == true).all()

    grey = np.asarray(image.convert("L")).astype(int)
    assert (decoded(image.convert("L"), "png") == grey[..., None]).all()
    deep = Image.fromarray((grey * 257).astype(np.uint16))
    assert deep.mode == "I;16"
    assert (decoded(deep, "png") == grey[..., None]).all()

    flat = image.quantize(8)
    assert (decoded(flat, "gif") == np.asarray(flat.convert("RGB"))).all()

    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat([[0], [255]], 32, 0).repeat(64, 1).astype(np.uint8)))
    composed = decoded(clear, "png")
    assert (composed[:32] == 255).all() and (composed[32:] == true[32:]).all()

    cmyk = decoded(image.convert("CMYK"), "jpeg", quality=95)
    assert np.abs(cmyk - true).mean() < 4


def test_a_photo_is_turned_upright_and_cut_to_its_middle() -> None:
    image = picture(width=96, height=64)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    turned = decoded(image, "png", exif=exif)
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert (turned == upright[16:80]).all()
    assert (decoded(image, "png") == np.asarray(image)[:, 16:80]).all()


def test_random_weights_are_an_error_or_said_aloud(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = explain(tmp_path / "out", photo, "--model", "resnet18", "--method", "gradcam")
    said = refused(capsys, argv)
    assert "resnet18 has no weights yet" in said and "`naflow models resnet18`" in said
    assert "--random-weights" in said
    assert not (tmp_path / "out").exists()
    assert main([*argv, "--random-weights", "--layers", "layer3.1"]) == 0
    assert capsys.readouterr().err.count("RANDOM WEIGHTS") == 1
    [entry] = manifest(tmp_path / "out")["photos"].values()
    assert all(prediction["name"] for prediction in entry["predictions"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model resnet81", r"no model 'resnet81'\. Did you mean 'resnet18'.*torchvision:NAME"),
        ("--model torchvision:resnet81", "torchvision has no model 'resnet81'.*'resnet18'"),
        ("--model networks:Residul", "networks has no 'Residul'.*'Residual'"),
        ("--model nowhere:Net", "nowhere cannot be imported .*No module named 'nowhere'"),
        ("--model networks:randomised", "calling it without arguments failed .TypeError"),
        ("--model networks:F", "calling it without arguments failed"),
        ("--model networks:Attentive", "self-attention"),
        ("--model networks:Residual --method gradcan", "no method 'gradcan'.*'gradcam'"),
        ("--model networks:Residual --preset dampd", "no preset 'dampd'.*'damped'"),
        ("--model networks:Residual --method lrp --preset paper", "--preset paper is for the met"),
        ("--model networks:Residual --layers conv9", "no layer 'conv9'.*'conv1'"),
        ("--model networks:Residual --target 4", "classes 0 to 3"),
        ("--model networks:Residual --target cat", "no class names are known"),
        ("--model networks:Residual --labels missing.txt", "no such file of class names"),
        ("--model networks:Residual --weights missing.pt", "--weights missing.pt: there is no"),
        ("--model networks:Residual --reference missing.jpg", "missing.jpg: there is no such pho"),
        ("--model networks:Residual --std 1 0 1", "three numbers above 0"),
        ("--model networks:Residual --std inf 1 1", "--std: 'inf' is not a number"),
        ("--model networks:Residual --mean nan 0 0", "--mean: 'nan' is not a number"),
        ("--model networks:Residual --batch 0", "--batch: '0' is not a number of 1 or more"),
        (f"--model networks:Residual --batch {'9' * 5000}", "--batch: '999.*' is not a number"),
        ("--model networks:Residual --size 2000000", "--size: '2000000' is more than 16384 pix"),
        ("--model networks:Residual --target=--5", "no class names are known"),
        ("--model networks:Residual --target=-1", "--target -1: the network has classes 0 to 3"),
        (f"--model networks:Residual --target {'9' * 5000}", "999: the network has classes 0 to"),
        ("--model conv4net --random-weights", "conv4net gives an embedding.*--reference PHOTO"),
        ("--model networks:Residual --fast", "'--fast' is not known here. Did you mean"),
        (
            "--model networks:Residual --targt=a",
            "'--targt' is not known here. Did you mean '--target'",
        ),
        ("--model networks:Residual --targt a", "See `naflow explain --help`"),
        ("--model torchvison:resnet18", "networks of others are torchvision:NAME, timm:NAME"),
        ("--model", "--model: expected one argument"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
    message: str,
) -> None:
    said = refused(capsys, ["explain", str(photo), "--out", str(tmp_path / "o"), *words.split()])
    assert re.search(message, said), said
    assert not (tmp_path / "o").exists()


def test_photos_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, residual(tmp_path / "out", tmp_path / "missing.jpg"))
    assert "missing.jpg: there is no such photo" in said
    assert "no photos in this folder" in refused(capsys, residual(tmp_path / "out", tmp_path))


def test_class_names(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    names, out = tmp_path / "names.txt", tmp_path / "out"
    words = (photo, "--weights", weights, "--labels", names, "--method", "gradcam", "--target")
    names.write_text("crane\nheron\ncrane\nstork\n")
    said = refused(capsys, residual(out, *words, "herron"))
    assert "no class 'herron'. Did you mean 'heron'" in said
    said = refused(capsys, residual(out, *words, "crane"))
    assert "classes 0 and 2 are all called 'crane'; give the number" in said
    said = refused(capsys, residual(out, *words, "heron", "her"))
    assert "'heron' and 'her' may stand for the same class: give one of them" in said
    names.write_text("crane\nheron\n")
    assert "--labels has 2 names, the network 4 classes" in refused(
        capsys, residual(out, *words, 1)
    )
    names.write_bytes(b"\xff\xfe\xfa")
    assert "no UTF-8 text" in refused(capsys, residual(out, *words, 1))


def test_labels_tell_the_number_of_classes(photo: Path, tmp_path: Path) -> None:
    """A trained network with another head than ImageNet's, from torchvision or the registry."""
    names = tmp_path / "names.txt"
    names.write_text("red\ngreen\nblue\n")
    torch.save(
        {"state_dict": torchvision.models.resnet18(num_classes=3).state_dict()},
        w := tmp_path / "w.pth",
    )
    for model in ("torchvision:resnet18", "resnet18"):
        words = ("--model", model, "--weights", w, "--labels", names, "--layers", "layer3.1")
        assert main(explain(tmp_path / model[:4], photo, *words, "--method", "gradcam")) == 0
        [entry] = manifest(tmp_path / model[:4])["photos"].values()
        assert {p["name"] for p in entry["predictions"]} == {"red", "green", "blue"}


def test_a_file_of_weights_that_tells_its_classes(photo: Path, tmp_path: Path) -> None:
    path, names = tmp_path / "w.safetensors", ["ant", "bee", "cat", "dog"]
    model = randomised(Residual())
    checkpoint.save_safetensors(path, model.state_dict(), {"classes": names})
    words = ("--weights", path, "--method", "gradcam", "--target", "dog")
    assert main(residual(tmp_path / "out", photo, *words)) == 0
    assert manifest(tmp_path / "out")["settings"]["classes"] == names
    [entry] = manifest(tmp_path / "out")["photos"].values()
    assert entry["methods"]["gradcam"]["explained"]["index"] == 3


def test_weights_that_do_not_fit(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Path
) -> None:
    state = torch.load(weights, weights_only=True)
    del state["fc.bias"]
    torch.save(state, weights)
    said = refused(capsys, residual(tmp_path / "out", photo, "--weights", weights))
    assert "does not fit networks:Residual" in said and "fc.bias" in said


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("matplotlib", "matplotlib")])
def test_a_missing_package_is_named_with_its_extra(
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    package: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = refused(capsys, residual(tmp_path / "out", photo))
    assert f"needs {package}, which is not installed: pip install 'naflow[cli]'." in said


def test_without_torchvision(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for model in ("torchvision:resnet18", "resnet18"):
        said = refused(capsys, ["plan", "--model", model])
        assert "needs torchvision, which is not installed: pip install 'naflow[cli]'" in said
    assert main(["plan", "--model", "conv4net", "--size", "32"]) == 0


def imported(words: list[str], *modules: str) -> list[str]:
    """Which of these modules a command imports, in a process of its own that it leaves well."""
    code = (
        "import sys\n"
        "import naflow.cli\n"
        "try:\n"
        f"    naflow.cli.main({words})\n"
        "except SystemExit as ending:\n"
        "    assert not ending.code\n"
        f"print(*sorted({set(modules)} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "words", [["--help"], ["explain", "--help"], ["--version"], ["explan"], ["explain", "--fast"]]
)
def test_what_the_parser_says_it_says_without_torch(words: list[str]) -> None:
    assert imported(words, "torch", "numpy") == []


def test_the_list_of_networks_needs_torch_and_numpy_only() -> None:
    others = ("PIL", "matplotlib", "torchvision", "safetensors")
    assert imported(["models"], "torch", *others) == ["torch"]


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    table, _, told = capsys.readouterr().out.partition("\n\n")
    assert "`naflow models NAME`" in told
    head, _, *lines = table.splitlines()
    assert max(map(len, table.splitlines())) <= 100
    starts = [at for at, line in enumerate(lines) if not line.startswith(" ")]
    assert [lines[at].split()[0] for at in starts] == models.list_models()
    for at, end in itertools.pairwise([*starts, len(lines)]):
        card = models.card(lines[at].split()[0])
        for column, fact in (("task", card.task), ("licence", card.licence)):
            first = head.index(column)
            cells = (line[first:].partition("  ")[0] for line in lines[at:end])
            assert " ".join(filter(None, map(str.strip, cells))) == fact
        assert ("to be trained" in lines[at]) == (not card.weights)
    assert main(["models", "conv64f"]) == 0
    assert capsys.readouterr().out == f"{models.card('conv64f')}\n"
    assert "Did you mean 'conv64f'" in refused(capsys, ["models", "conv64"])


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", "conv4net", "--preset", "proximal"]) == 0
    plan = NAFlow(models.create("conv4net"), "proximal").plan(torch.randn(1, 3, 84, 84))
    assert capsys.readouterr().out == f"{plan}\n"


def test_every_method_of_the_command_line_explains(photo: Path, tmp_path: Path) -> None:
    argv = residual(tmp_path / "out", photo, "--layers", "layer1.0", "--method", *NAMES)
    assert main(argv) == 0
    [entry] = manifest(tmp_path / "out")["photos"].values()
    assert set(entry["methods"]) == set(NAMES)


def test_quiet_says_nothing(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = residual(tmp_path / "out", photo, "--method", "gradcam", "--quiet")
    assert main(argv) == 0
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal(
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(residual(tmp_path / "out", photo)) == 0
    err = capsys.readouterr().err
    assert "photo.png, naflow, layer1.1.add 1/" in err
    assert err.endswith("\r\x1b[K")


ENDS = "import sys\n\ndef net():\n    sys.exit({code})\n"
LATER = """
import sys
from torch import nn

class Net(nn.Module):
    calls = 0

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        Net.calls += 1
        if Net.calls > {after}:
            sys.exit(0)
        return self.layer(x).mean((2, 3))
"""


@pytest.mark.parametrize(
    ("code", "factory", "said"),
    [
        ("raise SystemExit(0)", "net", "ends cannot be imported (SystemExit: 0)"),
        ("import sys; sys.exit()", "net", "ends cannot be imported (SystemExit"),
        (ENDS.format(code=0), "net", "calling it without arguments failed (SystemExit: 0)"),
        (ENDS.format(code="'enough'"), "net", "calling it without arguments failed (SystemExit: "),
        (LATER.format(after=0), "Net", "The network cannot take images (1, 3, 32, 32) (SystemEx"),
        (LATER.format(after=1), "Net", "ended the program (SystemExit: 0) before the work was d"),
    ],
)
def test_a_model_that_ends_the_program_is_a_failure(
    code: str,
    factory: str,
    said: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "ends.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ends", raising=False)
    words = ("--model", f"ends:{factory}", "--method", "gradcam")
    assert said in refused(capsys, explain(tmp_path / "out", photo, *words))


def test_no_file_of_the_current_folder_stands_in_for_a_package(photo: Path, tmp_path: Path) -> None:
    for name in ("safetensors", "PIL", "torchvision", "matplotlib", "json", "mine"):
        (tmp_path / f"{name}.py").write_text(
            "from pathlib import Path\nfrom torch import nn\n"
            "Path(__file__).with_suffix('.ran').touch()\n"
            "def net():\n"
            "    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
            "                         nn.Flatten())\n"
        )
    words = explain(tmp_path / "out", photo, "--model", "mine:net", "--method", "gradcam")
    program = "import sys; from naflow.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *words],  # -P: as the program naflow is started
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(naflow.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.glob("*.ran")] == ["mine.ran"]


def test_help_says_that_the_code_of_a_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("explain", "plan"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "its code runs" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["a\x1b[2K\x1b[1Ab", "a\nnaflow: done", "a\r\x07", "a\u202egpj"])
def test_no_name_of_a_file_acts_on_the_screen(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture().save(tmp_path / f"{name}.png")
    (tmp_path / f"{name}.jpg").write_text("no picture")
    (tmp_path / f"{name}.pt").write_text("no weights")
    out = tmp_path / f"{name}-out"
    assert main(residual(out, tmp_path, "--method", "gradcam")) == 1
    said = capsys.readouterr()
    missing = refused(capsys, residual(out, tmp_path / f"{name}.png", "--weights", "x" + name))
    damaged = residual(out, tmp_path / f"{name}.png", "--weights", tmp_path / f"{name}.pt")
    for text in (said.out, said.err, missing, refused(capsys, damaged)):
        lines = text.splitlines()
        assert not any(c in text for c in "\x1b\r\x07\u202e")
        assert not any(line.startswith("naflow: done") for line in lines)
    assert f"{name.encode('unicode_escape').decode()}.png" in said.out


def test_class_names_of_a_file_do_not_act_on_the_screen(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.safetensors"
    names = [f"\x1b[31m{number}" for number in range(4)]
    checkpoint.save_safetensors(path, randomised(Residual()).state_dict(), {"classes": names})
    assert main(residual(tmp_path / "out", photo, "--weights", path, "--method", "gradcam")) == 0
    assert "\\x1b[31m" in (said := capsys.readouterr().out) and "\x1b" not in said


def test_memory_that_runs_out_is_a_sentence(
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):

        def run_out(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("naflow.cli.run.square", run_out)
        said = refused(capsys, residual(tmp_path / "out", photo, "--method", "gradcam"))
        assert said.startswith("naflow: The memory ran out: use a smaller --size or --batch")
