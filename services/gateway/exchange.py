"""One request on its way through the gateway, and what may become of it.

The stages read and write an `Exchange`; the data plane fills it from the wire and carries out
the `Decision` that the pipeline comes to. Neither knows the other's insides.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shared.errors import ApiError

if TYPE_CHECKING:
    from services.gateway.cache.stage import Visit
    from services.gateway.compress import Encoder
    from services.gateway.config import Route
    from services.gateway.upstream.head import ResponseHead
    from shared.identity import Principal

# How an exchange ended, as a bounded label. All but ok, malformed, slow_client, too_large and
# client_left blame the upstream: "unavailable" is the open breaker, "truncated" an answer that was
# cut short.
OUTCOMES = frozenset(
    {
        "ok",
        "malformed",
        "slow_client",
        "too_large",
        "client_left",
        "internal",
        "refused",
        "connect_timeout",
        "timeout",
        "reset",
        "bad_framing",
        "long_head",
        "truncated",
        "unavailable",
    }
)

# The dataclasses made once per request are not frozen, as a frozen one takes five times as long to
# make; nobody changes them all the same.

# Header names are lower-case bytes, values as on the wire without outer white space.
Headers = list[tuple[bytes, bytes]]


class Family:
    """Stands for all requests with the very same header lines, whatever their request lines.

    The policy keeps here what it has come to know of some; it sees to it that they are few.
    """

    __slots__ = ("judgements",)

    def __init__(self) -> None:
        self.judgements: dict[Any, Any] = {}


class Repeat:
    """Stands for all requests with the very same head, but for the length of a body.

    The policy keeps here what it has come to know of one, for the next; the data plane keeps few.
    """

    __slots__ = ("judgement",)

    def __init__(self) -> None:
        self.judgement: Any = None


class Exchange:
    """A request as it arrived, then what each stage decided about it."""

    __slots__ = (
        "answer_headers",
        "api_version",
        "authorization",
        "chunked",
        "client_address",
        "content_length",
        "csrf_key",
        "dressing",
        "family",
        "fields",
        "headers",
        "id_line",
        "lines",
        "method",
        "outcome",
        "path",
        "peer",
        "principal",
        "query",
        "received_at",
        "repeat",
        "request_id",
        "resolved",
        "route",
        "service_path",
        "template",
        "upstream_name",
        "upstream_seconds",
        "url_version",
        "vary",
        "visit",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        peer: str,
        received_at: float,
        content_length: int | None = None,
        chunked: bool = False,
        fields: dict[bytes, bytes] | None = None,
        repeat: Repeat | None = None,
        family: Family | None = None,
    ) -> None:
        # From the wire. `path` and `query` are the raw target, never percent-decoded. Headers are
        # not to be changed, requests share them; of each, `fields` has the first value.
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.peer = peer
        self.received_at = received_at  # time.perf_counter() seconds
        self.content_length = content_length  # None for an uncounted body
        self.chunked = chunked
        self.fields = dict(reversed(headers)) if fields is None else fields
        self.repeat = repeat  # None where it is not known to be a repetition
        self.family = family  # None where nobody has sent the same header lines before

        self.request_id: str = ""  # this and the following from the stages
        self.id_line: bytes = b""  # the header line with it, for the service
        self.client_address: str = peer
        self.api_version: str | None = None
        self.url_version: str | None = None  # what stands in the URL, well-formed or not
        self.service_path: str = path  # the path below /api/vN, which routes and limits match
        self.route: Route | None = None
        self.template: str = "unmatched"  # the `route` label of metrics and log, of a bounded set
        self.principal: Principal | None = None
        self.authorization: bytes | None = None  # goes on in place of another credential
        self.csrf_key: bytes | None = None  # there when a session cookie gave the identity
        self.resolved: tuple[str, str] | None = None  # the version, and the signal that named it
        # What goes on every answer, errors too: `lines` are rendered; `vary` are the request fields
        # that were looked at; `dressing` is all but `lines`, where known.
        self.answer_headers: Headers = []
        self.lines: bytes = b""
        self.vary: bytes = b""
        self.dressing: bytes | None = None
        self.visit: Visit | None = None  # the cache's, on a route that has one
        self.upstream_name: str | None = None  # this and the following from the data plane
        self.upstream_seconds: float | None = None  # from the decision to the head, or the failure
        self.outcome: str = "ok"  # one of OUTCOMES

    def header(self, name: bytes) -> bytes | None:
        """The first value of header `name` (lower case), or None."""
        return self.fields.get(name)

    def header_values(self, name: bytes) -> list[bytes]:
        """All values of header `name` (lower case), in the order sent."""
        return [value for key, value in self.headers if key == name]

    def drop(self, name: bytes) -> None:
        """Goes on as if header `name` (lower case) had not been sent."""
        self.headers = [field for field in self.headers if field[0] != name]
        self.fields = dict(reversed(self.headers))

    @property
    def accept(self) -> str | None:
        """The first Accept header."""
        value = self.fields.get(b"accept")
        return None if value is None else value.decode("latin-1")

    @property
    def has_body(self) -> bool:
        """Whether the request is framed to carry a body (RFC 9112 section 6.3)."""
        return self.chunked or bool(self.content_length)


@dataclass(slots=True)
class Answer:
    """An answer of the gateway's own. The data plane adds framing, Date and connection headers.

    `lines` are more headers, rendered already, each with its line end.
    """

    status: int
    headers: Headers
    body: bytes = b""
    lines: bytes = b""


@dataclass(slots=True)
class Timeouts:
    """Seconds. `total` runs from the request's last byte to the answer's, retries included.

    It does not count the time that the client keeps the service waiting, and it does not apply to
    an event stream or to an upgraded connection; `idle` does.
    """

    connect: float = 1.0
    first_byte: float = 10.0
    idle: float = 30.0
    total: float = 30.0


@dataclass(slots=True)
class Forward:
    """The order to carry the request on. `headers` are complete but for host, id and framing.

    `lines` are more headers, rendered already, each with its line end. Repetitions share it.
    """

    upstream: str
    target: bytes  # origin-form request target, raw
    headers: Headers
    timeouts: Timeouts
    max_body: int  # bytes; a longer request body is refused with 413
    retries: int = 1
    lines: bytes = b""

    def towards(self, target: bytes) -> Forward:
        """The same order for another target."""
        # By position, as names would make a dictionary of them for every request.
        return Forward(
            self.upstream,
            target,
            self.headers,
            self.timeouts,
            self.max_body,
            self.retries,
            self.lines,
        )


Decision = Answer | Forward
Decide = Callable[[Decision | ApiError], None]


@dataclass(slots=True)
class Relay:
    """Pass the upstream's answer on: this status and these headers (no framing).

    `lines` are more headers, rendered already, each with its line end. The body goes through
    `encoder` where there is one, else it stays as it is.
    """

    status: int
    headers: Headers
    lines: bytes = b""
    encoder: Encoder | None = None


@dataclass(frozen=True, slots=True)
class Inspect:
    """Read up to `limit` bytes of the upstream's answer, then ask `Policy.rewrite`."""

    limit: int


class Policy(Protocol):
    """What the data plane asks of the rest of the gateway."""

    def readmit(self, exchange: Exchange, decide: Decide) -> bool:
        """Whether the request is a repetition; `admit` has to be asked where it is none.

        If it is, `decide` is told what becomes of it, now or later. Raises ApiError.
        """

    def admit(self, exchange: Exchange) -> Coroutine[Any, Any, Decision]:
        """The pipeline, up to the decision. Raises ApiError for a refusal.

        It is driven by hand (`services.gateway.eager`): a coroutine that never has to wait costs
        no task. Context variables that it sets before it first waits stay set on the connection.
        """

    def refuse(self, exchange: Exchange, error: ApiError) -> Answer:
        """Renders any refusal, the data plane's own ones included, with every due header.

        Of a request whose head was not understood little is known: its method and path are "-"
        where they are not to be seen, it has at most an Accept header, and `admit` never saw it. An
        InternalError's cause is in `__cause__`.
        """

    def receive(self, exchange: Exchange, head: ResponseHead) -> Relay | Inspect:
        """Judges an upstream's answer by its head (1xx never gets here).

        Its headers are the end-to-end ones without date and content-length, which the data plane
        writes itself.
        """

    def rewrite(
        self, exchange: Exchange, status: int, headers: Headers, body: bytes, complete: bool
    ) -> Answer:
        """Makes the answer out of one that `receive` wanted to inspect."""

    def finish(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int) -> None:
        """The exchange is over: log line and metrics. Called once for every exchange.

        `status` is the one sent, or 499 when the client left before any was. The byte counts are
        those of the bodies, chunk framing not counted.
        """
