"""The HTTP client of the demo: one connection, a token, and patience with rate limits."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

# An import of the largest file that the gateway takes ends within this.
_TIMEOUT_SECONDS = 300.0
_LONGEST_WAIT_SECONDS = 120
_WAITS = 3
_SLACK_SECONDS = 0.1


class DemoFailed(Exception):
    """A step did not do what it says; the message tells what came instead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """A header's value. Raises `DemoFailed` when the answer has none."""
        value = self.headers.get(name.lower())
        if value is None:
            raise DemoFailed(f"{self.request} answered {self.status} without the header {name}")
        return value

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `DemoFailed` when it is none."""
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        raise DemoFailed(f"{self.request} answered {self.status} without a JSON object")

    def expect(self, status: int) -> "Answer":
        """Itself. Raises `DemoFailed` with the server's own words when the status differs."""
        if self.status != status:
            raise DemoFailed(
                f"{self.request} answered {self.status} where {status} was due: {self.trouble()}"
            )
        return self

    def trouble(self, *, whole: bool = True) -> str:
        """The error of the answer in one line; its details too unless not `whole`."""
        with contextlib.suppress(DemoFailed, KeyError, TypeError):
            error = self.json()["error"]
            details = json.dumps(error["details"]) if whole and error.get("details") else ""
            return f"{error['code']}: {error['message']} {details}".strip()
        return self.body[:300].decode(errors="replace")


class Client:
    """Speaks to one system; `say` gets a line when it has to wait for a rate limit."""

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        """`url` is the gateway's address. Raises `DemoFailed` when it is none."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise DemoFailed(f"{url} is no address: give one as http://127.0.0.1:8080")
        secure = parts.scheme == "https"
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self.url = url.rstrip("/")
        self.token: str | None = None
        self._prefix = parts.path.rstrip("/")
        self._say = say
        try:
            self._connection = make(parts.hostname, port, timeout=_TIMEOUT_SECONDS)
        except http.client.InvalidURL:
            raise DemoFailed(f"{url} is no address: give one as http://127.0.0.1:8080") from None

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def get(self, path: str, **query: object) -> Answer:
        """GET with a query; waits when a rate limit says so."""
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path)

    def call(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] = {}
    ) -> Answer:
        """One request, `body` sent as JSON; waits when a rate limit says so."""
        data = None if body is None else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "application/json"}
        for _ in range(_WAITS):
            answer = self.once(method, path, data, headers={**kind, **headers})
            if answer.status != 429:
                return answer
            self.wait(answer)
        return answer

    def wait(self, answer: Answer) -> None:
        """Sleeps for as long as a 429 asks. Raises `DemoFailed` when that is too long."""
        text = answer.header("Retry-After")
        if not text.isdigit() or int(text) > _LONGEST_WAIT_SECONDS:
            raise DemoFailed(f"{answer.request} is limited, and says Retry-After: {text}")
        self._say(f"{answer.request} is limited at the moment: waiting {text} s, as it asks")
        # An idle connection may be gone before the time is up.
        self._connection.close()
        time.sleep(int(text) + _SLACK_SECONDS)

    def once(
        self,
        method: str,
        path: str,
        data: bytes | Iterable[bytes] | None = None,
        *,
        headers: Mapping[str, str] = {},
    ) -> Answer:
        """One request, whatever comes. Raises `DemoFailed` when nobody answers."""
        sent = {"Accept": "application/json", **headers}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        request = f"{method} {path.partition('?')[0]}"
        try:
            reply, body = self._exchange(method, self._prefix + path, data, sent)
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            self._connection.close()
            why = str(error) or type(error).__name__
            raise DemoFailed(
                f"{request}: no answer from {self.url} ({why}); is it running? `make run` starts it"
            ) from None
        found = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(request, reply.status, found, body)

    def _exchange(
        self, method: str, path: str, data: bytes | Iterable[bytes] | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        # A refusal may come, and the connection go, before the whole body is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.request(method, path, data, headers)
        reply = self._connection.getresponse()
        return reply, reply.read()
