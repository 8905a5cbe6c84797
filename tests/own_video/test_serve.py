"""The page of `dfnb serve` over HTTP, without a browser: files come as streams, apart from one another, and go."""

import asyncio
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from bs4 import BeautifulSoup

from dfnb.common.errors import UserError
from dfnb.own_video import answer, page, serve, visits
from dfnb.own_video.visits import Limits, Visits

LARGEST = 2_000_000


@dataclass
class Site:
    """A running server: its port, and the folder in which it keeps files."""

    port: int
    folder: Path

    def ask(self, method: str, path: str, body=None, **headers: str) -> http.client.HTTPResponse:
        """A request, of whose reply the body is read already: `.text`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        reply = connection.getresponse()
        reply.text = reply.read().decode()
        connection.close()
        return reply

    def arrive(self) -> str:
        """Open the page as a new visitor; the visit's address."""
        return f"/visit/{BeautifulSoup(self.ask('GET', '/').text, 'html.parser').form['data-token']}"

    def send(self, visit: str, path: Path, name: str | None = None) -> http.client.HTTPResponse:
        return self.ask("PUT", f"{visit}/file?name={quote(name or path.name)}", path.read_bytes())

    def wait(self, visit: str, *states: str) -> dict:
        for _ in range(600):
            now = json.loads(self.ask("GET", f"{visit}/progress").text)
            if now["state"] in states:
                return now
            time.sleep(0.1)
        pytest.fail(f"still {now}")

    @property
    def kept(self) -> list[str]:
        """The files that are on disk now."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def running(detector: answer.Detector, limits: Limits, folder: Path) -> Iterator[Site]:
    """The server in a thread; `folder` takes the place of the system's temporary folder."""
    address, loops = [], []
    ready = threading.Event()

    async def work() -> None:
        loops.extend((asyncio.get_running_loop(), asyncio.Event()))
        await serve.listen(detector, limits, 0, lambda url: (address.append(url), ready.set()), loops[1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        thread = threading.Thread(target=asyncio.run, args=(work(),))
        thread.start()
        assert ready.wait(30)
        try:
            yield Site(urlsplit(address[0]).port, folder)
        finally:
            loops[0].call_soon_threadsafe(loops[1].set)
            thread.join(60)
    assert not thread.is_alive()
    assert list(folder.glob("dfnb-serve-*")) == []  # whatever was going on


@pytest.fixture(scope="module")
def detector(checkpoints) -> answer.Detector:
    return answer.detector(checkpoints["rendered"], 4)


@pytest.fixture
def site(detector, tmp_path) -> Iterator[Site]:
    with running(detector, Limits(LARGEST, 60), tmp_path) as site:
        yield site


def test_the_answer_is_the_page_that_score_writes_and_nothing_stays(site, detector, videos, tmp_path):
    path = videos / "real/two people.mp4"
    visit = site.arrive()
    assert site.send(visit, path).status == 202
    site.wait(visit, "done")
    assert site.kept == []
    reply = site.ask("GET", f"{visit}/answer")
    assert reply.text == page.export([detector.answer(path)], tmp_path / "page.html").read_text("utf-8")
    assert "Not valid for real videos" in reply.text
    assert site.ask("GET", f"{visit}/answer").status == 404  # forgotten once it is fetched
    assert path.name not in site.ask("GET", f"{visit}/progress").text


def test_every_frame_is_counted_while_faces_are_looked_for(detector, videos, tmp_path, monkeypatch):
    seen, go_on = [], threading.Event()
    search = visits.FaceFinder.__call__

    def slow(self, rgb, last=None):
        seen.append(0)
        assert len(seen) < 3 or go_on.wait(30)
        return search(self, rgb, last)

    monkeypatch.setattr(visits.FaceFinder, "__call__", slow)
    with running(detector, Limits(LARGEST, 60), tmp_path) as site:
        first, second = site.arrive(), site.arrive()
        site.send(first, videos / "real/one.mp4")
        site.send(second, videos / "real/one.mp4")
        for _ in range(300):
            now = site.wait(first, "looking")
            if now["looked"] == 3:
                break
            time.sleep(0.1)
        assert (now["looked"], now["frames"], now["before"]) == (3, 4, 0)
        waiting = site.wait(second, "waiting")
        assert waiting["before"] == 1
        assert site.send(first, videos / "real/one.mp4").status == 409
        go_on.set()
        assert site.wait(first, "done")["looked"] == 4
        site.wait(second, "done")


def test_visitors_have_nothing_of_one_another(site, videos):
    first, second = site.arrive(), site.arrive()
    assert first != second
    assert len(first) > 40
    site.send(first, videos / "real/one.mp4", "secret name.mp4")
    site.wait(first, "done")
    assert json.loads(site.ask("GET", f"{second}/progress").text)["state"] == "empty"
    assert site.ask("GET", f"{second}/answer").status == 404
    for path in ("/", f"{second}/progress", f"{second}/answer", "/visit/guessed/progress", "/visit//progress"):
        assert "secret name" not in site.ask("GET", path).text
    for method, what in (("GET", "progress"), ("GET", "answer"), ("PUT", "file"), ("POST", "gone")):
        assert site.ask(method, f"/visit/guessed/{what}", b"").status == 404
    assert "secret name" in site.ask("GET", f"{first}/answer").text


def test_who_goes_takes_everything_along(detector, videos, tmp_path, monkeypatch, caplog):
    started, go_on = threading.Event(), threading.Event()
    search = visits.FaceFinder.__call__

    def slow(self, rgb, last=None):
        started.set()
        assert go_on.wait(30)
        return search(self, rgb, last)

    monkeypatch.setattr(visits.FaceFinder, "__call__", slow)
    with running(detector, Limits(LARGEST, 60), tmp_path) as site:
        visit, other = site.arrive(), site.arrive()
        site.send(visit, videos / "real/one.mp4")
        site.send(other, videos / "real/two people.mp4")
        assert started.wait(30)
        assert site.kept == ["one.mp4", "two people.mp4"]
        assert site.ask("POST", f"{visit}/gone", b"").status == 204
        assert site.kept == ["two people.mp4"]
        assert site.ask("GET", f"{visit}/progress").status == 404
        go_on.set()
        site.wait(other, "done")  # the other's file is answered all the same
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_who_is_not_heard_of_has_gone(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = Visits(detector, Limits(LARGEST, 60))
    try:
        silent, heard = kept.arrive(), kept.arrive()
        for visit in (silent, heard):
            kept.begin(visit, "a.mp4").write_bytes(b"a")
            visit.seen -= 100
        kept.find(heard.token)
        kept.leave_idle(50)
        assert kept.find(silent.token) is None
        assert kept.find(heard.token) is heard
        assert not silent.folder.exists()
        assert heard.folder.exists()
    finally:
        kept.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_too_large_is_refused_before_it_comes(site):
    visit = site.arrive()
    with socket.create_connection(("127.0.0.1", site.port), 30) as raw:
        head = f"PUT {visit}/file?name=a.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGEST + 1}\r\n\r\n"
        raw.sendall(head.encode())  # and not a byte of the file
        reply = raw.makefile("rb").read()
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 2 MB" in reply
    assert site.kept == []
    assert site.wait(visit, "empty")


def test_a_file_that_turns_out_too_large_is_refused_while_it_comes(site):
    """Sent in chunks, without a length."""
    visit = site.arrive()
    with socket.create_connection(("127.0.0.1", site.port), 30) as raw:
        head = f"PUT {visit}/file?name=a.mp4 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode())
        chunk, sent = b"8000\r\n" + bytes(0x8000) + b"\r\n", 0
        try:
            while sent < 40 * LARGEST:  # the server hangs up long before
                raw.sendall(chunk)
                sent += 0x8000
        except OSError:
            pass
        assert sent < 40 * LARGEST
        try:
            reply = raw.makefile("rb").read()
        except ConnectionResetError:
            reply = b"HTTP/1.1 413 "  # the reply was lost with the connection: what the visit says still counts
        assert reply.startswith(b"HTTP/1.1 413 ")
    assert "larger than 2 MB" in site.wait(visit, "failed")["reason"]
    assert site.kept == []


@pytest.mark.parametrize("length", ["abc", "-1", "1e3"])
def test_a_length_that_is_no_number_is_refused(site, length):
    visit = site.arrive()
    with socket.create_connection(("127.0.0.1", site.port), 30) as raw:
        raw.sendall(f"PUT {visit}/file?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
    assert site.wait(visit, "failed", "empty")  # the server may answer before it has tidied up
    assert site.kept == []


def test_half_a_file_is_deleted(site):
    visit = site.arrive()
    with socket.create_connection(("127.0.0.1", site.port), 30) as raw:
        raw.sendall(f"PUT {visit}/file?name=a.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc".encode())
        site.wait(visit, "sending")
        assert site.kept == ["a.mp4"]
    assert "didn't come whole" in site.wait(visit, "failed")["reason"]
    assert site.kept == []


def test_what_is_no_video_or_too_long_is_named_and_the_rest_goes_on(detector, videos, tmp_path):
    with running(detector, Limits(LARGEST, 0.4), tmp_path) as site:  # the videos last 0.48 s
        visit = site.arrive()
        for name in ("noise.mp4", "truncated.mp4", "one.mp4"):
            site.send(visit, videos / "real" / name)
            reason = site.wait(visit, "failed")["reason"]
            assert reason.startswith(f"{name}: ")
            assert str(tmp_path) not in reason
            assert "\n" not in reason
        assert "lasts 0.0 minutes" in reason
        assert site.kept == []
        site.send(visit, videos / "fake/picture.png")
        site.wait(visit, "done")
        assert "Probability of fake" in site.ask("GET", f"{visit}/answer").text


def test_a_fault_of_ours_ends_one_answer_alone(site, videos, monkeypatch, caplog):
    visit = site.arrive()
    with monkeypatch.context() as patch:
        patch.setattr(page, "section", lambda found: 1 / 0)
        site.send(visit, videos / "fake/picture.png")
        assert "The program failed" in site.wait(visit, "failed")["reason"]
    assert "ZeroDivisionError" in caplog.text
    site.send(visit, videos / "fake/picture.png")
    site.wait(visit, "done")


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
    ids=str,
)
def test_other_peoples_pages_reach_nothing(site, headers):
    visit = site.arrive()
    for method, path in (
        ("GET", "/"),
        ("GET", f"{visit}/progress"),
        ("PUT", f"{visit}/file"),
        ("POST", f"{visit}/gone"),
    ):
        assert site.ask(method, path, b"", **headers).status == 403
    assert site.wait(visit, "empty")


def test_there_is_nothing_but_the_page(site):
    """No address of Jupyter's, no file of the computer, no other method."""
    paths = (
        "/api/kernels", "/api/contents", "/api/sessions", "/api/terminals", "/terminals", "/voila/render/a.ipynb",
        "/static/a", "/etc/passwd", "/../../../../etc/passwd", "/serve.py", "/visit/",
    )  # fmt: skip
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert site.ask(method, path, b"").status == 404, path
    visit = site.arrive()
    for method, path in (("POST", f"{visit}/file"), ("PUT", f"{visit}/progress"), ("DELETE", "/"), ("POST", "/")):
        assert site.ask(method, path, b"").status == 405
    reply = site.ask("GET", "/")
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert (reply.headers["Cache-Control"], reply.headers["X-Frame-Options"]) == ("no-store", "DENY")
    with socket.socket() as other:  # it listens on the loopback address alone
        other.settimeout(2)
        addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in addresses - {"127.0.0.1"}:
            assert other.connect_ex((address, site.port)) != 0


def test_a_port_that_is_taken_is_named(site, detector):
    with pytest.raises(UserError, match=f"^--port {site.port}: .*; name another one$"):
        asyncio.run(serve.listen(detector, Limits(LARGEST, 60), site.port, print, asyncio.Event()))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\a.mp4", "a.mp4"),
        ("", "file"),
        ("..", "file"),
        ("a\x00\n:*.mp4", "a____.mp4"),
        ("映像 Äpfel (1).mov", "映像 Äpfel (1).mov"),
        ("x" * 300 + ".mp4", "x" * 56 + ".mp4"),
    ],
)
def test_a_visitors_name_for_a_file_is_a_name_and_no_path(given, kept, tmp_path):
    assert visits.file_name(given) == kept
    (tmp_path / kept).write_bytes(b"")


def test_the_command_ends_in_one_line_and_deletes_all(checkpoints, videos, tmp_path):
    code = f"import tempfile, sys; tempfile.tempdir = {str(tmp_path)!r}; from dfnb import cli; cli.main()"
    command = [sys.executable, "-c", code, "serve", str(checkpoints["rendered"]), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        address = server.stdout.readline().split()[0]
        site = Site(urlsplit(address).port, tmp_path)
        visit = site.arrive()
        connection = socket.create_connection(("127.0.0.1", site.port), 30)  # a file that is still coming
        connection.sendall(
            f"PUT {visit}/file?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab".encode()
        )
        site.wait(visit, "sending")
        assert site.kept == ["a"]
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
        connection.close()
    assert (server.returncode, out) == (0, "")
    assert err == "dfnb: stopped; what visitors sent is deleted\n"
    assert list(tmp_path.iterdir()) == []
