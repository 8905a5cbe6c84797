"""`dfnb serve`: a page in the browser to drop a file on, for this computer alone.

Tornado, on which Jupyter's server stands too, receives a file as a stream, so that a phone's video of any size goes to
disk piece by piece. Nothing here runs code of a visitor: there are six addresses, all below.

Not by Voila (0.5.13), which was tried first: it starts a kernel with torch and a network, 1 GB, for each visitor and
each reload; its page fetches style sheets from a content delivery network; it answers to any Host; and a large file
needs a handler like this one beside it all the same.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tornado.httpserver import HTTPServer
from tornado.ioloop import PeriodicCallback
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from dfnb.common.errors import UserError
from dfnb.own_video.answer import Detector
from dfnb.own_video.visits import IDLE, Limits, Visit, Visits
from dfnb.plots.page import render

HERE = Path(__file__).parent
ADDRESS = "127.0.0.1"
HOSTS = {ADDRESS, "localhost"}  # what a browser may call this server; any other name was made to lead here
SMALL = 1 << 16  # bytes; no request but a file has more


def serve(detector: Detector, limits: Limits, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then everything that visitors sent is deleted.

    port: 0 takes any free one. ready: called with the page's address. Raises UserError where the port is taken.
    """

    async def until_stopped() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in before:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        await listen(detector, limits, port, ready, stop)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        asyncio.run(until_stopped())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def listen(
    detector: Detector, limits: Limits, port: int, ready: Callable[[str], None], stop: asyncio.Event
) -> None:
    """`serve`, until `stop` is set."""
    try:
        listener = socket.create_server((ADDRESS, port), backlog=128)
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; name another one") from None
    visits = Visits(detector, limits)
    server = HTTPServer(application(visits), max_body_size=SMALL)
    sweeper = PeriodicCallback(visits.leave_idle, 5_000)
    try:
        listener.setblocking(False)
        server.add_socket(listener)
        sweeper.start()
        ready(f"http://{ADDRESS}:{listener.getsockname()[1]}/")
        await stop.wait()
    finally:
        sweeper.stop()
        server.stop()
        await server.close_all_connections()
        visits.close()


def application(visits: Visits) -> Application:
    """The addresses. Whoever opens / is a visitor with a token; all else of theirs lies under /visit/TOKEN/."""
    given = {"visits": visits}
    return Application(
        [
            ("/", _Page, given),
            ("/serve.js", _Script, given),
            ("/visit/([^/]+)/file", _File, given),
            ("/visit/([^/]+)/progress", _Progress, given),
            ("/visit/([^/]+)/answer", _Answer, given),
            ("/visit/([^/]+)/gone", _Gone, given),
        ],
        log_function=lambda handler: None,  # an address holds a token, a name of a file may be private
    )


class _Handler(RequestHandler):
    """What all addresses share: requests come from this computer's browser and, where a page sent them, from ours."""

    def initialize(self, visits: Visits) -> None:
        self.visits = visits

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def prepare(self) -> None:
        host, origin = self.request.host, self.request.headers.get("Origin")
        if self.request.host_name not in HOSTS or origin not in (None, f"http://{host}"):
            raise HTTPError(403, reason="Forbidden")

    def visit(self, token: str) -> Visit:
        """Whose token this is. Raises HTTPError 404 where nobody's."""
        if visit := self.visits.find(token):
            return visit
        raise HTTPError(404)


class _Page(_Handler):
    def get(self) -> None:
        values = {
            "title": "One suspicious video",
            "limits": self.visits.limits,
            "detector": self.visits.detector,
            "idle": f"{IDLE / 60:g}",
        }
        self.finish(render(HERE / "serve.html.j2", token=self.visits.arrive().token, **values))


class _Script(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.finish((HERE / "serve.js").read_bytes())


@stream_request_body
class _File(_Handler):
    """A file as the body of a PUT. It goes to disk as it comes; more than is allowed ends the connection."""

    file: BinaryIO | None = None

    def prepare(self) -> None:
        super().prepare()
        self.refused, self.size = self.request.method != "PUT", 0
        if self.refused:
            return  # tornado answers 405
        self.sender = self.visit(self.path_args[0])
        length = self.request.headers.get("Content-Length", "0")  # absent from a file that comes in chunks
        if refusal := self.visits.refusal(self.sender, int(length) if length.isdecimal() else 0):
            self.refuse(*refusal)
            return
        self.request.connection.set_max_body_size(self.visits.limits.largest + SMALL)
        self.file = self.visits.begin(self.sender, self.get_query_argument("name", "")).open("wb")

    def data_received(self, chunk: bytes) -> None:
        if self.refused:
            return
        self.size += len(chunk)
        if self.sender.gone:
            self.refuse(404, "")
        elif self.size > self.visits.limits.largest:
            self.refuse(413, self.visits.limits.too_large)
        else:
            self.visits.find(self.sender.token)
            try:
                self.file.write(chunk)
            except OSError:
                self.refuse(507, "There is too little room on this computer's disk.")

    def put(self, _token: str) -> None:
        if not self.refused:
            self.file.close()
            self.file = None
            self.visits.submit(self.sender)
            self.set_status(202)

    def refuse(self, status: int, reason: str) -> None:
        """Answer at once; what still comes isn't kept, and soon isn't read."""
        self.refused = True
        self.discard(reason)
        self.set_status(status)
        self.set_header("Connection", "close")
        self.finish({"reason": reason})

    def on_connection_close(self) -> None:
        self.refused = True
        self.discard("The file didn't come whole.")

    def discard(self, reason: str) -> None:
        if self.file:
            with contextlib.suppress(OSError):  # what is left to write no longer matters
                self.file.close()
            self.file = None
            self.visits.drop(self.sender, reason)


class _Progress(_Handler):
    def get(self, token: str) -> None:
        self.finish(self.visits.progress(self.visit(token)))


class _Answer(_Handler):
    """The answer's page, once: whoever fetched it keeps it, and it is forgotten here."""

    def get(self, token: str) -> None:
        visit = self.visit(token)
        if not visit.page:
            raise HTTPError(404)
        self.set_header("Content-Security-Policy", "sandbox")
        self.finish(visit.page)
        visit.page, visit.state = "", "empty"


class _Gone(_Handler):
    def post(self, token: str) -> None:
        self.visits.leave(self.visit(token))
        self.set_status(204)
