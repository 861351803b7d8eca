"""Answers that never end, say odd things or lead elsewhere, against the real code."""

import gzip
import ssl
import subprocess
import time
from random import Random

import pytest
from faulty_server import FaultyServer, chunked, dripping, endless, instead, raw, status
from small_download import CONTENT, SHA256, complete, leftovers

from naflow.errors import BadInput
from naflow.models.origins.conversation import Refused, redirect
from pipeline.downloads.download import Unavailable

# --- without end ----------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "fault",
    [
        dripping(OK + b"Content-Length: 700000\r\n\r\n", b"a"),
        dripping(OK + b"\r\n", b"a"),
        dripping(OK, b"X-More: and more\r\n"),
        dripping(OK + b"X-Long: ", b"a"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: a\r\n"),
        dripping(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "no length", "headers", "a header", "chunk's size", "trailers", "continue"],
)
def test_a_byte_now_and_then_ends_an_attempt(server, target, get, fault):
    server.faults = [fault]
    begin = time.monotonic()
    assert get(sha256=SHA256, slowest=1000, window=0.4) == SHA256
    assert time.monotonic() - begin < 4
    assert complete(target) and get.waits == [1]


def test_slow_for_ever_is_told(server, target, get):
    server.faults = [dripping(OK + b"\r\n", b"a") for _ in range(3)]
    with pytest.raises(Unavailable, match="slower than 1,000 bytes a second, 3 times"):
        get(slowest=1000, window=0.2, retries=2)
    assert not target.exists()


def test_the_deadline_ends_all_attempts_together(server, target, get):
    server.faults = [dripping(OK + b"\r\n", bytes(9000)) for _ in range(3)]
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="was not done after 1 seconds"):
        get(deadline=1, window=0.3)
    assert time.monotonic() - begin < 3 and len(server.requests) == 1


def test_endless_body_is_cut_off(server, target, get):
    server.faults = [endless()]
    with pytest.raises(Unavailable, match="more than the 1,000,000 bytes"):
        get(most=1_000_000)
    assert leftovers(target) == [] and get.waits == []


def test_larger_than_it_can_be_is_not_begun(server, target, get, tmp_path):
    with pytest.raises(Unavailable, match=r"700,000 bytes, at most 600,000"):
        get(most=600_000)
    (tmp_path / "w.pth").write_bytes(CONTENT)
    with pytest.raises(Unavailable, match=r"(700,000 bytes, at most 600,000.*){2}"):
        get(most=600_000, mirror=str(tmp_path))
    assert leftovers(target) == []


@pytest.mark.parametrize("packed", ["gzip", "deflate", "br", "gzip, gzip"])
def test_packed_though_not_asked_for_is_refused_before_it_grows(server, target, get, packed):
    bomb = gzip.compress(bytes(4 << 20))
    server.faults = [instead(bomb, Content_Encoding=packed)]
    with pytest.raises(Unavailable, match=f"sent the file as {packed}, which was not asked for"):
        get()
    assert leftovers(target) == []


@pytest.mark.parametrize("told", ["identity", "Identity", ""])
def test_not_packed_may_be_said_in_any_case(server, target, get, told):
    server.faults = [instead(CONTENT, Content_Encoding=told)]
    get()
    assert target.read_bytes() == CONTENT


def test_a_page_is_one_in_any_case(server, target, get):
    server.faults = [instead(b"<p>Quota exceeded", Content_Type="Text/HTML")]
    with pytest.raises(Unavailable, match="sent a web page instead of the file"):
        get()


def test_body_of_a_redirect_is_not_read(server, target, get):
    head = b"HTTP/1.1 302 Found\r\nLocation: /w.pth\r\nContent-Length: 99999999999\r\n\r\n"
    server.faults = [dripping(head, bytes(1 << 16), every=0.001)]
    assert get(window=1) == SHA256
    assert get.waits == []


def test_redirects_without_end(server, target, get):
    server.faults = [status(302, Location="/w.pth")] * 30
    with pytest.raises(Unavailable, match="redirects more than 10 times"):
        get()
    assert len(server.requests) == 10


# --- odd headers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1", "http://[::1]x/", "http://.example/", "http://a..b/", "http://\xff\xfe/",
        "http://a:99999/", "http://a:x/", "http:///", "mailto:a@b", "http://a\tb/",
        "http://" + "a" * 70 + ".org/", "http://*/", "http://xn--a/", "\x1b[31mred", "file:///etc/x",
    ],
)  # fmt: skip
def test_odd_locations_become_sentences(server, target, get, location):
    told = location.encode("latin1")
    server.faults = [raw(b"HTTP/1.1 302 Found\r\nLocation: " + told + b"\r\n\r\n")]
    with pytest.raises(Unavailable, match=r"was not downloaded") as raised:
        get(retries=0)
    assert str(raised.value).isprintable()
    assert leftovers(target) == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: " + b"9" * 5000, b"Content-Length: 700000, 5", b"Content-Length: -5",
        b"Content-Length: 5\r\nContent-Length: 700000", b"Content-Length: " + b"9" * 18,
        b"Content-Length: \xb2", b"Content-Length: 1e9", b"Content-Range: bytes 0-1/2",
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked", b"ETag: \xff",
        b"Content-Type: \x1b", b"no colon", b"X: " + b"a" * 70_000, b"A: b\r\n" * 200,
        b"Last-Modified: \xff", b"Location: http://[", b"Content-Encoding: \xff\x1b[2J",
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", [200, 206, 302, 304, 416, 429, 503, 999])
def test_odd_headers_become_sentences_or_the_file(server, target, get, lines, code):
    head = b"HTTP/1.1 %d \x1b[31mred\r\n%s\r\n\r\n" % (code, lines)
    server.faults = [raw(head, CONTENT)] * 2
    told = ""
    try:
        get(retries=1, most=1_000_000, sha256=SHA256)
    except BadInput as error:
        told = str(error)
    assert told.isprintable()
    assert target.exists() == (not told)


@pytest.mark.parametrize(
    "after", ["9" * 400, "-5", "Fri, 31 Dec 9999 23:59:59 -9999", "Mon, 01 Jan 0001 00:00:00 +2359"]
)
def test_odd_waits(server, target, get, after):
    server.faults = [status(503, Retry_After=after)]
    assert get() == SHA256
    assert 1 <= get.waits[0] <= 120


@pytest.mark.parametrize("head", [b"", b"\0\0\0\0", b"HTTP/9.9 200 OK\r\n\r\n", b"SSH-2.0\r\n"])
def test_what_speaks_no_http(server, target, get, head):
    server.faults = [raw(head)]
    assert get() == SHA256
    assert get.waits == [1]


@pytest.mark.parametrize(
    "address", ["http://[::1", "http://a b/", "http://", "x://a", "http://.a/"]
)
def test_odd_addresses_become_sentences(target, get, address):
    with pytest.raises(Unavailable, match=r"cannot be requested|connection failed"):
        get(address, retries=0)


def test_odd_chunks(server, target, get):
    breaks = [b"zz\r\n", b"-5\r\n", b"f" * 70_000, b"ffffffffffffffffffffffff\r\n", b"\r\n"]
    server.faults = [chunked(one) for one in breaks]
    assert get(sha256=SHA256) == SHA256
    assert len(server.requests) <= 6


# --- https ----------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A server with a certificate of its own that is trusted here."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    try:
        subprocess.run(
            [*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with FaultyServer({"/w.pth": CONTENT}, context) as server:
        yield server


def test_redirect_from_https_to_http_is_refused(server, secure, target, get):
    address = f"{secure.base}/w.pth"
    secure.faults = [status(302, Location="/moved"), status(302, Location=f"{server.base}/w.pth")]
    with pytest.raises(Unavailable, match="redirects from https to http"):
        get(address)
    assert server.requests == [] and not target.exists() and get.waits == []
    server.faults = [status(302, Location=address)]
    assert get() == SHA256
    assert len(secure.requests) == 3


def test_unknown_certificate_is_refused_at_once(secure, get, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Unavailable, match="certificate"):
        get(f"{secure.base}/w.pth")
    assert get.waits == [] and secure.requests == []


@pytest.mark.parametrize(
    ("address", "location", "allowed"),
    [
        ("https://a.org/x", "http://a.org/y", False),
        ("https://a.org/x", "HTTP://b.org/y", False),
        ("https://a.org/x", "https://b.org/y", True),
        ("https://a.org/x", "//b.org/y", True),
        ("https://a.org/x", "/y", True),
        ("http://a.org/x", "http://b.org/y", True),
        ("http://a.org/x", "https://b.org/y", True),
        ("http://a.org/x", "file:///etc/passwd", False),
        ("http://a.org/x", "ftp://b.org/y", False),
    ],
)
def test_redirects(address, location, allowed):
    if allowed:
        assert redirect(address, location).startswith("http")
    else:
        with pytest.raises(Refused):
            redirect(address, location)


# --- at random ------------------------------------------------------------------------------------


def answer(random: Random) -> bytes:
    """An answer put together and damaged at random."""
    size = len(CONTENT)
    start = random.choice([0, 5, 300_000, size, size + 1, 10**30])
    values = [
        *(b"%d" % start, b"-1", b"", b"\xff\x00", b"a" * random.choice([10, 70_000]), b"0x10"),
        *(b"bytes %d-%d/%d" % (start, size - 1, size), b"bytes */%d" % size, b"bytes 0-/*"),
        *(b'"one"', b'W/"one"', b'"two"', b"http://[", b"/w.pth", b"//", b"gzip", b"identity"),
        *(b"chunked", b"text/html", b"application/json", b"Sat, 01 Jan 2022 00:00:00 GMT", b"120"),
    ]
    names = b"Content-Length Content-Range ETag Last-Modified Location Content-Encoding Connection"
    names += b" Transfer-Encoding Content-Type Retry-After Set-Cookie Trailer Upgrade X"
    status = random.choice([200, 200, 200, 206, 206, 204, 301, 302, 307, 100, 404, 416, 429, 503])
    lines = [b"HTTP/1.%d %d %s" % (random.choice([0, 1, 1, 7]), status, random.choice(values)[:99])]
    for _ in range(random.randrange(8)):
        lines.append(random.choice(names.split()) + b": " + random.choice(values))
    body = random.choice([CONTENT, CONTENT[300_000:], b"", b"5\r\nabcde\r\n0\r\n\r\n", b"<html>"])
    told = bytearray(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    for _ in range(random.choice([0, 0, 0, 1, 5])):
        told[random.randrange(min(len(told), 300))] = random.randrange(256)
    return bytes(told)


@pytest.mark.parametrize("seed", range(100))
def test_random_answers_end_in_the_file_or_in_a_sentence(server, target, get, seed):
    random = Random(seed)
    server.faults = [raw(answer(random)) for _ in range(random.choice([1, 2, 5]))]
    hashed, told = random.random() < 0.5, ""
    try:
        get(retries=3, silence=1, window=1, most=1_000_000, sha256=SHA256 if hashed else None)
    except BadInput as error:
        told = str(error)
    assert told.isprintable()
    assert target.exists() == (not told)
    if hashed and not told:
        assert target.read_bytes() == CONTENT
