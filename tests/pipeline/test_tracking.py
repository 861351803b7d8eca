"""W&B: what a run says is read back, and nothing that goes wrong with it reaches the stage."""

import hashlib
import json
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image
from torchvision.models import resnet18

from naflow import plot
from pipeline import explain as stage
from pipeline import tracking
from pipeline.explanations import maps
from pipeline.explanations.strips import strip
from pipeline.models import weights
from pipeline.tracking import Run, revision, tracked

CONFIG = OmegaConf.create({"seed": 0})
KEY = "a" * 40
NOBODY = "http://127.0.0.1:9"


def settings(folder, mode):
    return OmegaConf.create({"mode": mode, "project": "naflow", "folder": str(folder)})


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No key, no address but of this machine, and a W&B that has read neither yet."""
    for variable in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", NOBODY)
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    yield
    if sys.modules.get("wandb"):
        sys.modules["wandb"].teardown()


class Written:
    """An offline run as its files hold it."""

    def __init__(self, folder):
        sys.modules["wandb"].teardown()  # what the end of a stage does: only then all is on disk
        (self.folder,) = folder.glob("wandb/offline-run-*")
        (path,) = self.folder.glob("run-*.wandb")
        runs = [record.run for record in records(path) if record.HasField("run")]
        self.name = runs[0].display_name
        self.config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
        self.history = [
            {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in r.history.item}
            for r in records(path)
            if r.HasField("history")
        ]
        self.exit_code = next(r.exit.exit_code for r in records(path) if r.HasField("exit"))

    def logged(self, name):
        """The values of one name, flat or nested, in the order of logging."""
        fields = [
            {k.removeprefix(f"{name}."): v for k, v in row.items() if k.startswith(f"{name}.")}
            for row in self.history
        ]
        return [found for found in fields if found]

    def file(self, entry):
        """A file that the history names; its sha256 is the one the history gives."""
        path = self.folder / "files" / entry["path"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        return path


def records(path):
    """Records of a .wandb file: LevelDB's log format after seven bytes, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:  # too small for a header: padding
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # all of a record, or the last piece of one
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.mark.filterwarnings("ignore")
def test_a_run_of_explain_is_read_back(config, tmp_path):
    weights.save(
        tmp_path / "weights.safetensors", "resnet18", resnet18(num_classes=2), ["cross", "disc"]
    )
    cfg = config("method=gradcam", "explain.pictures=3", "explain.batch=2", "tracking.mode=offline")
    folder = stage.explain(cfg, "gradcam")
    run = Written(tmp_path / "wandb")

    assert run.name == "shapes-gradcam-resnet18"
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert {key: run.config[key] for key in settings} == settings
    assert run.config["git"] == revision(tracking.ROOT)

    found = maps.load(folder)
    pictures = run.logged("flow")
    assert [entry["caption"] for entry in pictures] == [
        f"Grad-CAM, {case.picture}. {plot.CONVENTION}" for case in found.cases
    ]
    for row, (case, entry) in enumerate(zip(found.cases, pictures, strict=True)):
        scene = np.asarray(Image.open(f"{cfg.images.root}/images/{case.picture}.png"))
        drawn = strip(scene, [layer[row] for layer in found.maps.values()])
        with Image.open(run.file(entry)) as logged:
            assert logged.mode == "RGB"
            assert np.array_equal(np.asarray(logged), drawn)

    (entry,) = run.logged("layers")
    table = json.loads(run.file(entry).read_text())
    logged = pd.DataFrame(table["data"], columns=table["columns"])
    pd.testing.assert_frame_equal(logged, maps.summary(found), check_dtype=False)


@pytest.mark.filterwarnings("ignore")
def test_numbers_are_read_back(tmp_path):
    with tracked(settings(tmp_path, "offline"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
        run.numbers({"loss": 0.25})
    written = Written(tmp_path)
    assert [row["loss"] for row in written.history] == [0.5, 0.25]
    assert written.exit_code == 0


@pytest.mark.filterwarnings("ignore")
def test_a_stage_that_fails_is_a_run_that_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), tracked(settings(tmp_path, "offline"), "toy", CONFIG):
        raise ZeroDivisionError
    assert Written(tmp_path).exit_code == 1


@pytest.fixture
def online(monkeypatch):
    """W&B's address and key, and times short enough for a test."""

    def at(address):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)

    monkeypatch.setattr(tracking, "START_SECONDS", 1)
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 2)
    return at


@pytest.mark.filterwarnings("ignore")
def test_without_a_server_the_run_is_offline_and_soon(tmp_path, caplog, online):
    online(NOBODY)
    start = time.monotonic()
    with tracked(settings(tmp_path, "online"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert time.monotonic() - start < 20
    assert caplog.text.count("W&B is offline for this run") == 1
    assert Written(tmp_path).history[0]["loss"] == 0.5


@pytest.mark.filterwarnings("ignore")
def test_without_a_key_the_run_is_offline(tmp_path, caplog):
    with tracked(settings(tmp_path, "online"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert "W&B is offline for this run: No API key" in caplog.text
    assert Written(tmp_path).history[0]["loss"] == 0.5


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_dies_during_a_run_holds_it_up_no_longer_than_allowed(
    tmp_path, caplog, online
):
    server = DyingServer()
    online(server.address)
    with tracked(settings(tmp_path, "online"), "toy", CONFIG) as run:
        assert server.started.wait(10), "the run never spoke to the server"
        server.dead = True
        start = time.monotonic()
        for value in range(20):
            run.numbers({"loss": value})
            run.picture("flow", np.zeros((8, 16, 3), np.uint8))
    assert 2 <= time.monotonic() - start < 20  # it did try
    assert "pipeline.tracking" not in caplog.text
    assert list(tmp_path.glob("wandb/run-*/run-*.wandb"))  # for `wandb sync`
    server.shutdown()


class DyingServer(ThreadingHTTPServer):
    """Begins one run as W&B would; once `dead`, every request is refused as overloaded."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.started, self.dead = threading.Event(), False
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        question = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(503 if self.server.dead else 200)
        project = {"id": "2", "name": "naflow", "entity": {"id": "3", "name": "someone"}}
        bucket = {"id": "1", "name": "one", "displayName": "toy", "project": project}
        begun = {"upsertBucket": {"bucket": bucket, "inserted": True}}
        answer = json.dumps({"data": begun if b"upsertBucket" in question else {}}).encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.server.started.set()

    do_GET = do_PUT = do_POST

    def log_message(self, *_):
        """Silent."""


def git(root, *command):
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *command], cwd=root, check=True, capture_output=True)


def test_revision_is_the_commit_and_says_whether_files_differ(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "tag", "-m", "v1", "v1")
    head = (tmp_path / ".git" / (tmp_path / ".git/HEAD").read_text().split()[1]).read_text().strip()
    assert revision(tmp_path) == head
    (tmp_path / "code.py").write_text("2")
    assert revision(tmp_path) == f"{head}-dirty"


def test_a_repository_around_an_installed_package_is_not_taken_for_its_own(tmp_path):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    (tmp_path / "site-packages").mkdir()
    assert revision(tmp_path / "site-packages") is None


def test_no_revision_without_git_or_with_one_that_hangs(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    assert revision(tmp_path) is None  # no repository, and git says so
    monkeypatch.setenv("PATH", "")
    assert revision(tmp_path) is None

    def hanging(*_, timeout, **__):
        raise subprocess.TimeoutExpired("git", timeout)

    monkeypatch.setattr(subprocess, "run", hanging)
    assert revision(tmp_path) is None


def test_disabled_does_not_even_import_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with tracked(settings(tmp_path, "disabled"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_mode_is_one_line_and_no_error(tmp_path, caplog):
    with tracked(settings(tmp_path, "sideways"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert "W&B is off for this run" in caplog.text


def test_not_installed(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with tracked(settings(tmp_path, "offline"), "toy", CONFIG) as run:
        run.numbers({"loss": 0.5})
    assert "W&B is off" in caplog.text


def test_a_run_that_breaks_is_told_once(caplog):
    class Broken:
        def log(self, values):
            raise OSError("disk full")

    run = Run(Broken())
    run.numbers({"loss": 0.5})
    run.numbers({"loss": 0.4})
    assert caplog.text.count("disk full") == 1


def test_an_error_of_the_stage_still_passes(tmp_path):
    with pytest.raises(ZeroDivisionError), tracked(settings(tmp_path, "disabled"), "toy", CONFIG):
        raise ZeroDivisionError
