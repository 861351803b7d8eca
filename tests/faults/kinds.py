"""The kinds of faults, each a case that is tried with a random generator."""

import contextlib
import errno
import io
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from at_once import forking
from faults.judged import Case, changed
from faults.stages import Bench
from faults.test_pictures import damaged, sound
from faulty_server import FaultyServer, raw
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from made_maps import made
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import naflow.models
from naflow import raster
from naflow.atomic import locked, replacing, replacing_folder, restore
from naflow.cli import main
from naflow.errors import BadInput
from naflow.models import checkpoint
from naflow.models.origins.conversation import Patience
from pipeline import settings
from pipeline.app import CONF
from pipeline.downloads.download import Expected, digest, download
from pipeline.explanations import maps
from pipeline.explanations.cases import Case as Explained
from pipeline.explanations.job import Job
from pipeline.models import weights as pipeline_weights

ODD = ("", "0", "-1", "--5", "1e999", "nan", "null", "[]", "[a,", "{a: 1}", "true", "2000000")
ODD += ("é", "a" * 251, "a\x1bb", "../x", "${seed}", "${none}", "99999999999999999999", "0.5")


def weights(folder: Path) -> Case:
    """What loads is what the file holds, and finite."""
    torch.manual_seed(0)
    network = naflow.models.create("conv4net")
    own, path = network.state_dict(), folder / "w.safetensors"
    about = {"model": "conv4net", "settings": {}, "classes": None}
    checkpoint.save_safetensors(path, own, about)
    torch.save(own, folder / "w.pth")
    files = {one: one.read_bytes() for one in (path, folder / "w.pth")}
    hostile = (5, [], {}, None, "", {"_target_": "os.system"}, {"slope": 1e9}, [[1]], "x" * 9999)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model = compose("config", ["model=conv4net"]).model

    def case(random: np.random.Generator) -> str:
        place = list(files)[int(random.integers(2))]
        content, kind = files[place], random.integers(3)
        bad = folder / f"bad{place.suffix}"
        if kind == 0 and place == path:
            told = dict(about)
            told[random.choice(["model", "settings", "classes"])] = hostile[random.integers(9)]
            checkpoint.save_safetensors(bad, own, told)
        elif kind == 1:  # the headers, where most is decided
            bad.write_bytes(changed(content[:2000], random) + content[2000:])
        else:
            bad.write_bytes(changed(content, random))
        if random.random() < 0.5:
            found = naflow.models.create("conv4net", bad)
        else:
            chosen = OmegaConf.merge(model, {"weights": str(bad), "labels": None})
            found = pipeline_weights.load(chosen, torch.device("cpu")).network
        state = found.state_dict()
        if not all(value.isfinite().all() for value in state.values()):
            return "wrong"
        if place == path:  # the format has no checksum: other numbers are another file
            expected, _ = checkpoint.load_safetensors(bad)
        else:
            expected = own
        return "right" if all(torch.equal(state[n], expected[n]) for n in own) else "wrong"

    return case


def results(folder: Path) -> Case:
    """A change of the numbers is refused, or changes nothing that is read."""
    return changed_folder(folder, lambda file: file.name != "manifest.json")


def manifests(folder: Path) -> Case:
    """So is one of what is told of them."""
    return changed_folder(folder, lambda file: file.name == "manifest.json")


def changed_folder(folder: Path, chosen: Callable[[Path], bool]) -> Case:
    """Files of parts and of a store, changed and read."""
    explained = [Explained(f"disc_{number}") for number in range(3)]
    parts, merged = folder / "m" / "naflow", folder / "n" / "naflow"
    for place in (parts, merged):
        place.mkdir(parents=True)
        made(place, {}, explained)
    Job.of(merged).merge()
    whole = {place: told(maps.load(place)) for place in (parts, merged)}
    files = [(p, f) for p in whole for f in sorted(p.rglob("*")) if f.is_file() and chosen(f)]

    def case(random: np.random.Generator) -> str:
        place, file = files[random.integers(len(files))]
        content = file.read_bytes()
        file.write_bytes(changed(content, random))
        try:
            return "right" if told(maps.load(place)) == whole[place] else "wrong"
        finally:
            file.write_bytes(content)

    return case


def told(found: maps.Maps) -> str:
    """All that is read, as text."""
    arrays = {name: value.tobytes().hex() for name, value in found.maps.items()}
    rest = [found.cases, found.labels, found.manifest, found.score.tobytes(), found.stats]
    return repr([arrays, rest, found.weights.tobytes(), found.confidence.tobytes()])


def writes(folder: Path) -> Case:
    """A disk that is full, or an end, at any byte or operation: the old or the new, and a rerun."""
    old, new = b"old" * 50, b"new" * 900
    audited = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")

    def write_file(place: Path) -> None:
        with replacing(place / "a") as partial:
            partial.write_bytes(new)

    def write_folder(place: Path) -> None:
        with locked(place / "a"), replacing_folder(place / "a") as partial:
            for name in "xy":
                (partial / name).write_bytes(new)

    def content(place: Path) -> object:
        if (place / "a").is_dir():
            return {one.name: one.read_bytes() for one in (place / "a").iterdir()}
        return (place / "a").read_bytes() if (place / "a").exists() else None

    def fails(write: Callable, place: Path, at: int, kills: bool, by_size: bool) -> None:
        if by_size:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kills else signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
        count = [0]

        def hook(event: str, _: object) -> None:
            count[0] += event in audited
            if not by_size and event in audited and count[0] == at % 16 + 1:
                if kills:
                    os._exit(9)
                raise OSError(errno.ENOSPC, "No space left on device")

        sys.addaudithook(hook)
        write(place)

    def case(random: np.random.Generator) -> str:
        place = folder / "written"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        write = (write_file, write_folder)[random.integers(2)]
        if write is write_file:
            (place / "a").write_bytes(old)
        else:
            (place / "a").mkdir()
            (place / "a" / "x").write_bytes(old)
        before = content(place)
        after = new if write is write_file else {"x": new, "y": new}
        at, kills, by_size = (
            int(random.integers(2800)),
            random.random() < 0.5,
            random.random() < 0.5,
        )
        with forking():
            child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(OSError):
                fails(write, place, at, kills, by_size)
                code = 0
            os._exit(code)
        ended = os.waitpid(child, 0)[1]
        found = content(place)
        if found not in (before, after) and not (found is None and write is write_folder):
            return "wrong"  # between its two moves a folder is aside, and the rerun has it again
        if ended == 0 and found != after:
            return "lost"
        if found is None:
            restore(place / "a")
            if content(place) != before:
                return "lost"
        write(place)
        return "right" if content(place) == after else "wrong"

    return case


def arguments(folder: Path) -> Case:
    """Any words come to a code, and one that is not 0 to a sentence."""
    words = ("--size", "--target", "--layers", "--batch", "--mean", "--method", "--preset")
    words += ("--weights", "--labels", "--device", "--model", "--out", "--quiet", "conv4net")

    def case(random: np.random.Generator) -> str:
        command = str(random.choice(["models", "plan", "explain"]))
        given = [command]
        if command == "plan":
            given += ["--model", "conv4net"]
        elif command == "explain":  # there is no photo: nothing heavy comes
            given += [str(folder / "none.jpg"), "--model", "conv4net", "--out", str(folder / "o")]
        sound = {"plan": ["--size", "84"], "explain": ["--quiet"], "models": ["conv4net"]}
        given += sound[command] * int(random.integers(2))
        for _ in range(random.integers(4)):
            one = str(random.choice(words + ODD))
            given.append(one + "=" + str(random.choice(ODD)) if random.random() < 0.5 else one)
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main(given)
        if code == 0:
            return "right"
        return "refused" if said.getvalue().strip().startswith("naflow: ") else "wrong"

    return case


def overrides(folder: Path) -> Case:
    """What settings.check passes or refuses of what Hydra's grammar reads."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("config")
    settled = {"figures.*": "figures.fig04", "steps.*": "steps.classification", "*": "base"}
    names = [*settings.SETTINGS, "explain", "measure", "figures", "figures.x", "tracking"]
    for star, name in settled.items():
        names = [path.replace(star, name) for path in names]
    grammar = OverridesParser.create()

    def case(random: np.random.Generator) -> str:
        path, value = names[random.integers(len(names))], random.choice(ODD)
        cfg = whole.copy()
        try:
            read = grammar.parse_override(f"{path}={value}").value()
            OmegaConf.update(cfg, path, read, merge=False, force_add=True)
            settings.check(cfg)
        except (HydraException, OmegaConfBaseException) as error:  # as pipeline.app tells them
            raise BadInput(str(error)) from None
        return "right"

    return case


def replies(folder: Path) -> Case:
    """The right file under its name, or none."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    body = np.random.default_rng(0).bytes(5000)
    server = FaultyServer({"/w": body}).__enter__()
    (folder / "right").write_bytes(body)
    expected = Expected(sha256=digest(folder / "right"))
    status = b"HTTP/1.0 %d OK\r\n"
    headers = (b"Content-Length: 5000", b"Content-Length: -1", b"Content-Length: 9" + b"9" * 30)
    headers += (b"Content-Range: bytes 9-4/x", b"Location: http://[", b"ETag: \xff", b"\0: 1", b":")
    headers += (b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Retry-After: x")

    def case(random: np.random.Generator) -> str:
        target = folder / "files" / "w"
        shutil.rmtree(target.parent, ignore_errors=True)
        server.faults = []
        for _ in range(random.integers(1, 3)):
            head = status % random.choice([200, 206, 204, 301, 302, 404, 416, 429, 503, 999])
            for _ in range(random.integers(4)):
                head += headers[random.integers(len(headers))] + b"\r\n"
            head += b"\r\n"
            if random.random() < 0.3:
                head = changed(head, random)
            server.faults.append(raw(head, body[: random.choice([0, 9, 5000])]))
        patience = Patience(retries=2, silence=1, deadline=5, sleep=lambda _: None)
        try:
            download([f"{server.base}/w"], target, expected, quiet=True, patience=patience)
        except BadInput:
            if target.exists():
                return "wrong"
            raise
        return "right" if target.read_bytes() == body else "wrong"

    return case


def pictures(folder: Path) -> Case:
    """See test_pictures."""
    kinds = list(sound().values())

    def case(random: np.random.Generator) -> str:
        one, other = (kinds[random.integers(len(kinds))] for _ in range(2))
        image = raster.rgb(damaged(one, other, random), "a.jpg")
        return "right" if image.mode == "RGB" else "wrong"

    return case


def stages(folder: Path) -> Case:
    """See faults.stages: every stage in turn."""
    bench = Bench(folder)
    turn = cycle(bench.stages)
    return lambda random: bench.judged(next(turn), random)


KINDS = (weights, results, manifests, writes, arguments, overrides, replies, pictures, stages)
COSTS = {"stages": 40, "overrides": 4}  # in cases of the other kinds


def ready(folder: Path) -> dict[str, Case]:
    """Every kind by its name, with a folder of its own below `folder`."""
    places = {kind: folder / kind.__name__ for kind in KINDS}
    for place in places.values():
        place.mkdir()
    return {kind.__name__: kind(place) for kind, place in places.items()}
