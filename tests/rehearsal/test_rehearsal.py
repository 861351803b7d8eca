"""The rehearsal in short: stand-ins have their formats, and stages accept or refuse them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from naflow import models
from naflow.errors import BadInput
from pipeline import cub, fetch, index, verify
from pipeline.app import CONF
from pipeline.downloads import published, source
from pipeline.downloads.download import Unavailable, WrongFile
from pipeline.pictures.imagenet import ImageNet
from rehearsal import formats, page, world
from rehearsal.composed import composed
from rehearsal.day import Day, commands
from rehearsal.faults import Came, figures_of, sentence, undone
from rehearsal.kept import kept
from rehearsal.publisher import Publisher
from rehearsal.workplace import SHORTER, Ran, Workplace

NAMES = ("resnet18", "resnet18_npid")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return world.made(folder / "world", classes=8, training=3000, birds_each=2, names=NAMES)


@pytest.fixture
def publisher(stand_ins, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Publisher(stand_ins.published) as server:
        yield server


@pytest.fixture
def config(stand_ins, publisher, tmp_path, monkeypatch):
    """Compose conf/ for a network on the stand-ins, as the profile `paper` does, into tmp_path."""
    monkeypatch.setenv("IMAGENET", str(stand_ins.imagenet["class folders"]))

    own = {"cub.root": tmp_path / "cub", "cub.archives": tmp_path / "external"}
    return lambda name: composed(publisher, tmp_path, name, "imagenet", own)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_fetched_and_passes_its_published_gate(config, tmp_path, name):
    cfg = config(name)
    fetch.prepare(cfg)
    numbers = verify.verify(cfg)
    assert all(numbers[key] >= least for key, least in cfg.recipe.gate.items())
    assert numbers["pictures"] == 16
    assert source.bank(tmp_path / f"{name}.safetensors").is_file() == (name in world.NPID)
    assert not (tmp_path / "lock.json").exists()  # it is of the published addresses


@pytest.mark.parametrize("name", NAMES)
def test_worse_weights_miss_their_gate(config, publisher, stand_ins, tmp_path, name):
    publisher.publish(name, world.poorer(name, stand_ins.published[name], tmp_path / "poorer"))
    cfg = config(name)
    fetch.prepare(cfg)
    with pytest.raises(BadInput, match="is required"):
        verify.verify(cfg)


def test_what_is_not_there_or_another_file_is_refused(config, publisher, stand_ins):
    publisher.publish("resnet18", stand_ins.published["resnet18"], others=True)
    with pytest.raises(WrongFile, match="its sha256 is"):
        fetch.prepare(config("resnet18"))
    publisher.publish("resnet18_npid", stand_ins.published["resnet18"])
    with pytest.raises(WrongFile, match="the file"):
        fetch.prepare(config("resnet18_npid"))
    publisher.withdraw("resnet18_npid")
    with pytest.raises(Unavailable, match=r"404.*404"):
        fetch.prepare(config("resnet18_npid"))


def test_every_layout_of_imagenet_has_the_same_pictures(stand_ins):
    first, *others = (
        index.table(ImageNet(str(root))).drop(columns="image")
        for root in stand_ins.imagenet.values()
    )
    assert len(first) == 16 and first["x0"].notna().all()
    assert len(others) == 2 and all(first.equals(other) for other in others)


def test_the_birds_come_through_a_redirection(config, publisher):
    cfg = config("resnet18")
    cub.prepare(cfg.cub, quiet=True, instead=published.read(cfg.fetch.published))
    found = cub.table(Path(cfg.cub.root))
    parts = found.groupby("few_shot")["class"].nunique()
    assert len(found) == 58 and parts["novel"] >= 5 and parts["base"] >= 5
    assert found["retrieval"].nunique() == 2
    assert any(path.startswith("/signed/") for path, _ in publisher.requests)


@pytest.mark.parametrize("name", ["resnet50_cbam", "resnet50_bam"])
def test_a_checkpoint_of_a_network_in_parallel(tmp_path, name):
    network = models.create(name)
    path = world.write(network, name, tmp_path / "w.pth")
    head = path.read_bytes()[: formats.HEAD]
    assert b"ctorch.cuda\nFloatStorage" in head and b"module.conv1.weight" in head
    assert b"num_batches_tracked" not in head and not head.startswith(b"PK")
    found = models.create(name, path).state_dict()
    assert all(torch.equal(found[key], value) for key, value in network.state_dict().items())


def test_vissls_dictionary_is_read_and_lacks_the_bank(tmp_path):
    network = models.create("resnet50_npid")
    path = formats.vissl(network, tmp_path / "vissl.torch")
    assert torch.equal(models.create("resnet50_npid", path).fc.weight, network.fc.weight)
    with pytest.raises(BadInput):
        models.memory_bank(path)


def test_the_pages_commands_are_what_is_rehearsed():
    assert "make figures" in commands() and len(commands()) == 4
    assert all("--" not in line.split()[0] and "#" not in line for line in commands())


def test_what_is_shorter_is_a_setting_that_there_is(tmp_path):
    for name, key, value in SHORTER:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((CONF.parent / name).read_text())
        Workplace.set(SimpleNamespace(folder=tmp_path), name, key, value)
        assert (tmp_path / name).read_text() != (CONF.parent / name).read_text()


def test_a_first_day_from_a_stage_on_and_back(tmp_path):
    """`undone` hides the outputs of a stage and of those that depend on it, and restores all."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  a: {cmd: echo 1 > a, outs: [a]}\n"
        "  figure:\n    foreach: [fig01]\n"
        "    do: {cmd: cat a > b, deps: [a], outs: [{b: {cache: false}}]}\n"
        "  other: {cmd: echo 2 > c, outs: [c]}\n"
    )
    place = SimpleNamespace(folder=tmp_path)

    def repro():
        command = (sys.executable, "-m", "dvc", "repro", "--quiet")
        subprocess.run(command, cwd=tmp_path, check=True)

    repro()
    before = {name: (tmp_path / name).read_text() for name in ("a", "b", "c", "dvc.lock")}
    assert figures_of(place, "a") == ["fig01"] and figures_of(place, "other") == []
    with undone(place, "a", ["fresh", "c"]):
        assert not any((tmp_path / name).exists() for name in "abc")
        (tmp_path / "dvc.yaml").write_text(
            (tmp_path / "dvc.yaml").read_text().replace("echo 1", "echo 3")
        )
        repro()
        assert (tmp_path / "b").read_text() == "3\n"
    assert {name: (tmp_path / name).read_text() for name in before} == before


def test_what_was_kept_is_not_made_again(tmp_path):
    made = iter(("bad", "good", "never"))
    path = tmp_path / "kept" / "one.json"
    came = [kept(path, lambda: next(made), "good".__eq__) for _ in range(3)]
    assert came == ["bad", "good", "good"]


def test_a_copy_of_the_workplace_is_a_place_of_its_own(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "small").write_text("1")
    (place / "large").write_bytes(bytes(2**20 + 1))
    (place / "link").symlink_to("/where/imagenet/lies")
    copy = Workplace.copied(SimpleNamespace(folder=place), tmp_path / "copy")
    (copy.folder / "small").write_text("2")
    assert (place / "small").read_text() == "1"
    assert (copy.folder / "large").samefile(place / "large") and (copy.folder / "link").is_symlink()


def test_a_stage_is_timed_with_all_that_it_starts(tmp_path):
    work = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    (tmp_path / "work.py").write_text(work)
    place = SimpleNamespace(folder=tmp_path, environment={"PATH": os.environ["PATH"]})
    say = "echo \"Running stage '%s':\""
    line = f"{say % 'a'}; {sys.executable} work.py; {say % 'b'}; exit 3"
    ran = Workplace.run(place, line)
    assert ran.code == 3 and list(ran.stages) == ["a", "b"]
    assert ran.stages["a"][1] >= 0.25 > ran.stages["b"][1]
    assert ran.core >= 0.25


def test_the_page_tells_everything():
    ran = Ran("make figures", 0, "", 60.0, 50.0, {"fetch@resnet18": (3.25, 2.5)})
    lost = ["fig01", "fig12"]
    came = Came("resnet18", "missing", "it answered 404", lost, lost, True, 30.0)
    day = Day([ran], ["fig05", "index.html"], {"flat": True})
    text = page.text(day, [came], {"seconds": 9.0, "core": 8.0}, 60)
    assert "| `fetch@resnet18` | 3.2 | 2.5 |" in text
    assert "| resnet18 | missing | 1, 12 | drawn | 30 |" in text
    assert "**resnet18, missing**: it answered 404" in text
    assert came.as_expected and not replace(came, said="").as_expected


def test_what_was_said_is_of_the_stage_that_failed():
    """DVC continues with other stages, and names the failed one at the end."""
    text = (
        "Running stage 'cub@cub':\n> a\nUpdating lock file 'dvc.lock'\n\n"
        "Running stage 'fetch@resnet18':\n> b\nIt is gone.\n"
        "Stage 'figure@fig12' didn't change, skipping\n"
        "Running stage 'figure@fig05':\n> c\nDrawn.\n"
        "ERROR: failed to reproduce 'fetch@resnet18'\nmake: *** Error 1\n"
    )
    assert sentence(text) == "It is gone."
    assert sentence("Running stage 'a':\n> a\nAll is well.\n") == ""
