"""The command line's page: what it holds, how it opens, and photographs that are dropped on it."""

from __future__ import annotations

import _thread
import base64
import http.client
import json
import re
import shutil
import signal
import socket
import struct
import webbrowser
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from networks import Residual, randomised
from PIL import Image

from naflow import NAFlow, raster
from naflow.cli import demo, main
from naflow.explainers import GradCAM
from naflow.page.server import PageServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
NAMES = ["ant", "bee", "cat", "dog</script>"]


def photo(path: Path, seed: int = 0) -> Path:
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(patches).resize((64, 48), Image.Resampling.BILINEAR).save(path)
    return path


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    torch.manual_seed(1)
    torch.save(randomised(Residual()).state_dict(), tmp_path / "w.pt")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    words = ["--model", "networks:Residual", "--weights", str(tmp_path / "w.pt")]
    words += ["--labels", str(tmp_path / "names.txt"), "--method", "naflow", "gradcam"]
    words += ["--size", "32", "--device", "cpu", "--out", str(tmp_path / "out")]
    return ["explain", str(photo(tmp_path / "photo.png")), *words]


def content(html: str) -> dict[str, Any]:
    found = re.search(r'id="content">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_photo_has_a_page_of_its_flows(argv: list[str], tmp_path: Path) -> None:
    assert main(argv) == 0
    [path] = (tmp_path / "out").glob("*/index.html")
    text = path.read_text()
    assert "connect-src" not in text and text.count("</script>") == 2
    told = content(text)
    assert not told["explains"] and "naflow demo" in told["advice"]
    [model] = told["models"]
    assert [one["key"] for one in model["methods"]] == ["naflow", "gradcam"]
    [one] = model["cases"]
    said = re.match(
        r"Predicted: (ant|bee|cat|dog</script>) [\d.]+%, .* Explained: (.*) \(", one["told"]
    )
    assert said and said[1] == said[2] and said[1] in NAMES
    assert len(one["flows"]["naflow"]["stats"]["rule"]) == len(model["layers"])
    [entry] = json.loads((tmp_path / "out" / "manifest.json").read_text())["photos"].values()
    for key in ("naflow", "gradcam"):
        packed = one["flows"][key]
        shapes = next(m["shapes"] for m in model["methods"] if m["key"] == key)
        halves = np.frombuffer(zlib.decompress(base64.b64decode(packed["maps"])), "<f2")
        stored = np.load(tmp_path / "out" / f"{path.parent.name}/{key}/maps.npz")
        assert list(shapes) == list(stored) == entry["methods"][key]["layers"]
        for at, (layer, shape) in enumerate(shapes.items()):
            values, halves = np.split(halves, [shape[0] * shape[1]])
            found = np.ldexp(values.astype(float), -packed["exponents"][at]).reshape(shape)
            np.testing.assert_allclose(found, stored[layer], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("words", [["ant"], ["ant", "bee"]])
def test_the_page_says_which_classes_are_explained(
    words: list[str], argv: list[str], tmp_path: Path
) -> None:
    assert main([*argv, "--target", *words]) == 0
    [path] = (tmp_path / "out").glob("*/index.html")
    [one] = content(path.read_text())["models"][0]["cases"]
    shares = [rf"{word} \((\d+%|below 1%)\)" for word in words]
    assert re.search(rf" Explained: {', '.join(shares)}\.$", one["told"])


def browsing(monkeypatch: pytest.MonkeyPatch, visit: Callable[[str], None]) -> list[BaseException]:
    """Replaces the browser: `visit` is called with the address; then Ctrl-C is pressed."""
    failed: list[BaseException] = []

    def run(address: str) -> None:
        try:
            visit(address)
        except BaseException as error:
            failed.append(error)
        finally:
            _thread.interrupt_main()

    def opened(address: str) -> bool:
        Thread(target=run, args=(address,), daemon=True).start()
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    return failed


def post(address: str, name: str, data: bytes) -> dict[str, Any]:
    with urlopen(Request(f"{address}explain?name={name}", data, method="POST")) as answer:
        return json.loads(answer.read())


def test_a_dropped_photograph_is_explained_as_by_the_command_line(
    argv: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other, answers = photo(tmp_path / "other.png", 1), {}

    def visit(address: str) -> None:
        with urlopen(address) as page:
            answers["page"] = page.read().decode()
        answers["drop"] = post(address, "..%2Fother.png", other.read_bytes())
        answers["wrong"] = post(address, "no.png", b"no picture")
        answers["folder"] = sorted(one.name for one in (tmp_path / "out").iterdir())

    failed = browsing(monkeypatch, visit)
    assert main([*argv, "--open"]) == 0 and failed == []
    said = capsys.readouterr().err
    assert "drop a photograph on it" in said and "the page stays" in said
    assert content(answers["page"])["explains"] and "connect-src 'self'" in answers["page"]
    assert "is no picture of a kind that is read" in answers["wrong"]["error"]
    assert not any("other" in name for name in answers["folder"])
    written = content((tmp_path / "out" / "index.html").read_text())
    assert not written["explains"]
    again = [*argv[:1], str(other), *argv[2:-1], str(tmp_path / "again")]
    assert main(again) == 0
    [path] = (tmp_path / "again").glob("*/index.html")
    [case] = content(path.read_text())["models"][0]["cases"]
    assert answers["drop"]["one"] == case | {"picture": "other.png"}
    assert answers["drop"]["photograph"].startswith("data:image/png;base64,")


def test_nobody_but_the_page_is_answered(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}

    def visit(address: str) -> None:
        parts = urlsplit(address)
        for name, path, host in (
            ("by another name", parts.path, "evil.example"),
            ("without the secret", "/", parts.netloc),
            ("a guess", "/guess/explain", parts.netloc),
            ("the page", parts.path, parts.netloc),
        ):
            connection = http.client.HTTPConnection(parts.netloc)
            connection.request("POST" if "explain" in path else "GET", path, headers={"Host": host})
            seen[name] = connection.getresponse().status
            connection.close()
        connection = http.client.HTTPConnection(parts.netloc)
        headers = {"Content-Length": str(raster.BYTES + 1)}
        connection.request("POST", f"{parts.path}explain", headers=headers)
        assert "at most" in json.loads(connection.getresponse().read())["error"]
        connection.close()
        with pytest.raises(HTTPError):
            urlopen(f"{address}../etc/passwd")

    failed = browsing(monkeypatch, visit)
    assert main([*argv, "--open"]) == 0 and failed == []
    assert list(seen.values()) == [404, 404, 404, 200]


def test_a_page_that_is_closed_while_it_waits_is_no_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked, closed, done = Event(), Event(), Event()

    def explain(name: str, photograph: bytes) -> dict[str, Any]:
        asked.set()
        closed.wait(10)
        return {"flows": "x" * 10_000_000}

    class Server(PageServer):
        def shutdown_request(self, request: Any) -> None:
            super().shutdown_request(request)
            done.set()

    server = Server("<html>", explain)
    Thread(target=server.serve_forever, daemon=True).start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as browser:
        head = f"POST {server.path}explain HTTP/1.1\r\nHost: {server.host}\r\n"
        browser.sendall(f"{head}Content-Length: 1\r\n\r\nx".encode())
        assert asked.wait(10)
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    closed.set()
    assert done.wait(10)
    connection = http.client.HTTPConnection(server.host)
    connection.request("GET", "http://[/", headers={"Host": server.host})
    assert connection.getresponse().status == 404
    connection.close()
    server.shutdown()
    server.server_close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("answer", [False, webbrowser.Error("none")])
def test_without_a_browser_nothing_fails(
    argv: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: bool | Exception,
) -> None:
    def opened(address: str) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(webbrowser, "open", opened)
    assert main([*argv, "--open"]) == 0
    assert f"no browser opens here; the page is {tmp_path}/out/index" in capsys.readouterr().err


# --- the demo ------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, and one cheap method on the page."""
    pytest.importorskip("skimage", reason="scikit-image brings the photographs")
    monkeypatch.setattr(demo, "METHODS", {"Grad-CAM": GradCAM})
    monkeypatch.setattr(demo, "draw", lambda network, folder, quiet: folder / "flow.png")


@pytest.mark.usefixtures("quick")
def test_the_demo_opens_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: dict[str, Any] = {}

    def visit(address: str) -> None:
        rocket = demo.PHOTOGRAPHS["rocket"].path.read_bytes()
        answers["drop"] = post(address, "rocket.jpg", rocket)

    failed = browsing(monkeypatch, visit)
    assert main(["demo", "--out", str(tmp_path)]) == 0 and failed == []
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "index.html")
    assert "missile" in answers["drop"]["one"]["told"]
    told = content((tmp_path / "index.html").read_text())
    assert list(told["models"][0]["pictures"]) == ["cat", "coffee"]
    assert "Egyptian cat" in told["models"][0]["cases"][0]["told"]


@pytest.mark.usefixtures("quick")
def test_the_demo_opens_nothing_where_it_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(address: str) -> bool:
        raise AssertionError("it was opened")

    monkeypatch.setattr(webbrowser, "open", opened)
    assert main(["demo", "--out", str(tmp_path), "--no-open"]) == 0
    assert (tmp_path / "index.html").is_file()


# --- in a browser --------------------------------------------------------------------------------

DROP = """([name, text]) => {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture
def tab() -> Any:
    """A page of Chromium, in which nothing may go wrong."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    troubles: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(15000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        yield page
        browser.close()
    assert [one for one in troubles if "ERR_CONNECTION_REFUSED" not in one] == []


def drop(page: Any, path: Path) -> None:
    page.evaluate(DROP, [path.name, base64.b64encode(path.read_bytes()).decode()])


def test_a_drop_shows_the_photograph_and_a_wrong_file_is_said(tab: Any, tmp_path: Path) -> None:
    from naflow.cli import page as own
    from naflow.cli.photos import PhotoFile, square
    from naflow.cli.results import Result
    from naflow.models import Input
    from naflow.models.preprocessing import normalised
    from naflow.page import html
    from naflow.page.server import PageServer
    from naflow.scores import ClassLogit

    network = randomised(Residual()).eval()

    def results(file: PhotoFile) -> dict[str, Result]:
        seen = square(file, Input(32))
        flow = NAFlow(network)(normalised([seen], (0.5,) * 3, (0.5,) * 3))
        return {"naflow": Result(flow, 0, seen, ClassLogit(), NAMES)}

    first, other = photo(tmp_path / "first.png"), photo(tmp_path / "other.png", 1)
    told = own.content("m", {"sha256": "0"}, {"first.png": results(PhotoFile.read(first))})
    explain = lambda name, data: own.picture(name, results(PhotoFile(Path(name), data)))  # noqa: E731
    with PageServer(html(told | {"explains": True}), explain) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        tab.goto(server.address)
        tab.get_by_role("heading", name="first.png").wait_for()
        assert "0 to 0" not in tab.locator("#strip").inner_text()  # nothing was solved: no bars
        drop(tab, other)
        tab.get_by_role("heading", name="other.png").wait_for()
        assert tab.locator(".decision").text_content().startswith("Predicted: ")
        assert tab.locator("#picture option").all_inner_texts() == ["first.png", "other.png"]
        (tmp_path / "no.png").write_bytes(b"no picture")
        tab.locator("#own").set_input_files(tmp_path / "no.png")
        tab.get_by_role("alert").get_by_text("no.png is no picture of a kind").wait_for()
        tab.locator("#own").set_input_files(first)
        tab.get_by_role("heading", name="first.png").wait_for()
        assert tab.get_by_role("alert").count() == 0
        server.shutdown()
    drop(tab, other)
    tab.get_by_role("alert").get_by_text("the process behind this page has ended").wait_for()


def test_a_page_of_the_disk_says_what_explains_a_photograph(
    tab: Any, argv: list[str], tmp_path: Path
) -> None:
    assert main(argv) == 0
    [path] = (tmp_path / "out").glob("*/index.html")
    tab.goto(path.as_uri())
    tab.get_by_role("heading", name="photo.png").wait_for()
    assert not tab.locator("#own").is_visible()
    drop(tab, photo(tmp_path / "other.png", 1))
    tab.get_by_role("alert").get_by_text("`naflow demo` opens one").wait_for()
