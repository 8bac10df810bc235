"""The demo's client against a server that answers what the test tells it to."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.local.demo_client import Client, DemoFailed

ERROR = {"error": {"code": "RATE_LIMITED", "message": "Too many", "details": {"a": ["b"]}}}


class Scripted(ThreadingHTTPServer):
    """Gives the answers of `script`, one a request, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def answer(self) -> None:
        status, headers, body = self.server.script.pop(0)
        # 413 refuses without reading, as the gateway does.
        length = 0 if status == 413 else int(self.headers.get("Content-Length") or 0)
        given = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, given, self.rfile.read(length)))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = status == 413

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Prints nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as started:
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture
def client(server: Scripted) -> Iterator[Client]:
    made = Client(server.url, lambda _: None)
    yield made
    made.close()


@pytest.mark.parametrize(
    "url", ["8080", "ftp://127.0.0.1", "http://", "http://a:b", "http://a:0x", "http://a b"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(DemoFailed, match="is no address"):
        Client(url, lambda _: None)


def test_nobody_there_is_told_with_what_to_do(server: Scripted) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(DemoFailed, match="make run"):
        Client(url, lambda _: None).get("/api/versions")


def test_a_name_that_no_host_can_have_is_nobody_there() -> None:
    with pytest.raises(DemoFailed, match="no answer"):
        Client(f"http://{'a' * 70}ä.example", lambda _: None).get("/api/versions")


def test_a_limit_is_waited_for_and_the_request_repeated(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    told: list[str] = []
    monkeypatch.setattr("deploy.local.demo_client.time.sleep", slept.append)
    server.script = [(429, {"Retry-After": "7"}, b""), (200, {}, b"{}")]
    client = Client(server.url, told.append)
    assert client.call("POST", "/api/x", {"a": 1}).status == 200
    client.close()
    assert 7 <= slept[0] < 8
    assert len(told) == 1
    assert [body for *_, body in server.seen] == [b'{"a": 1}'] * 2


def test_a_limit_that_lasts_too_long_ends_the_demo(server: Scripted, client: Client) -> None:
    server.script = [(429, {"Retry-After": "86400"}, b"")]
    with pytest.raises(DemoFailed, match="86400"):
        client.get("/api/x")


def test_the_token_and_the_query_are_sent(server: Scripted, client: Client) -> None:
    server.script = [(200, {}, b"{}")]
    client.token = "secret"
    client.get("/api/v2/tasks", q="a b&c")
    _, path, headers, _ = server.seen[0]
    assert path == "/api/v2/tasks?q=a+b%26c"
    assert headers["authorization"] == "Bearer secret"


def test_a_body_is_streamed_with_its_length(server: Scripted, client: Client) -> None:
    server.script = [(200, {}, b"{}")]
    client.once("POST", "/in", iter([b"ab", b"cd"]), headers={"Content-Length": "4"})
    _, _, headers, body = server.seen[0]
    assert body == b"abcd"
    assert headers["content-length"] == "4"
    assert "transfer-encoding" not in headers


def test_a_refusal_that_comes_before_the_body_is_sent_is_read(
    server: Scripted, client: Client
) -> None:
    server.script = [(413, {}, json.dumps(ERROR).encode())]
    answer = client.once("POST", "/in", b"x", headers={"Content-Length": "100"})
    assert answer.status == 413


def test_an_unexpected_answer_is_told_in_the_servers_words(
    server: Scripted, client: Client
) -> None:
    server.script = [(403, {}, json.dumps(ERROR).encode()), (502, {}, b"<html>")]
    with pytest.raises(DemoFailed, match=r'403 where 200 was due: RATE_LIMITED: Too many \{"a"'):
        client.get("/api/x").expect(200)
    with pytest.raises(DemoFailed, match="<html>"):
        client.get("/api/x").expect(200)


def test_what_is_missing_in_an_answer_is_named(server: Scripted, client: Client) -> None:
    server.script = [(200, {}, b"[]")]
    answer = client.get("/api/x")
    with pytest.raises(DemoFailed, match="without the header ETag"):
        answer.header("ETag")
    with pytest.raises(DemoFailed, match="without a JSON object"):
        answer.json()
