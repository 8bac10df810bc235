"""The version stage: which API version a request means, and what its life-cycle makes of that."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate

from services.gateway.config import Status, Version
from services.gateway.exchange import Exchange, Headers
from services.gateway.headers import join_vary
from services.gateway.routes import is_api
from shared.accept import media_ranges
from shared.errors import UnsupportedVersion, VersionConflict, VersionRetired
from shared.tally import Cell

_VENDOR_TYPE = re.compile(r"application/vnd\.tasklane\.(v[^+]*)\+json")
_VENDOR = b"vnd.tasklane."
_HEADER = re.compile(r"[vV]?([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Phase:
    """What a version is during a span of time. `until` is epoch seconds; None: from now on."""

    status: Status
    headers: tuple[tuple[bytes, bytes], ...]
    brownout_end: float | None
    until: float | None


class Versions:
    """Resolves versions and knows the state of each.

    `seen` gives where a resolved version is counted, by the signal that named it: url, header,
    accept or default.
    """

    def __init__(
        self,
        versions: dict[str, Version],
        default: str,
        *,
        seen: Callable[[tuple[str, str]], Cell] = lambda _version_and_signal: Cell(),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._versions = versions
        self._default = default
        self.seen = seen
        self._now = now
        self._phases: dict[str, Phase] = {}

    @property
    def default(self) -> str:
        return self._default

    @property
    def names(self) -> list[str]:
        return list(self._versions)

    def choose(self, exchange: Exchange) -> None:
        """Sets `api_version` and the headers that tell of it; paths outside /api have none.

        Raises UnsupportedVersion, VersionConflict, VersionRetired.
        """
        if not is_api(exchange.path):
            return
        version, _ = exchange.resolved = self._resolve(exchange)
        self.seen(exchange.resolved).count += 1
        phase = self.phase(version)
        self._announce(exchange, version, phase)
        if phase.status is Status.RETIRED or phase.brownout_end is not None:
            raise self._retired(version, phase)

    def courtesy(self, exchange: Exchange) -> None:
        """Names a version on an answer that comes before, or instead of, a resolved one."""
        if exchange.api_version is None and is_api(exchange.path):
            named = exchange.url_version
            version = named if named is not None and named in self._versions else self._default
            self._announce(exchange, version, self.phase(version))

    def phase(self, version: str) -> Phase:
        """The state of `version` at this moment."""
        phase = self._phases.get(version)
        if phase is None or (phase.until is not None and self._now() >= phase.until):
            phase = self._phases[version] = phase_at(self._versions[version], self._now())
        return phase

    def _resolve(self, exchange: Exchange) -> tuple[str, str]:
        in_url, given = exchange.url_version, exchange.fields
        accept = given.get(b"accept")
        # Only where every header is there once does the first Accept tell everything.
        plain = len(given) == len(exchange.headers) and b"api-version" not in given
        if plain and (accept is None or _VENDOR not in accept.lower()):
            if in_url is None:
                return self._default, "default"
            if in_url in self._versions:
                return in_url, "url"
        claims = [] if in_url is None else [(in_url, "url")]
        claims += [
            (_from_header(value), "header") for value in exchange.header_values(b"api-version")
        ]
        for value in exchange.header_values(b"accept"):
            claims += [(claim, "accept") for claim in _from_accept(value)]
        for claim, _ in claims:
            if claim not in self._versions:
                raise UnsupportedVersion(details={"supported": self._supported()})
        named = sorted({claim for claim, _ in claims})
        if len(named) > 1:
            raise VersionConflict(details={"versions": named})
        return claims[0] if claims else (self._default, "default")

    def _supported(self) -> list[str]:
        return [name for name in self._versions if self.phase(name).status is not Status.RETIRED]

    def _announce(self, exchange: Exchange, version: str, phase: Phase) -> None:
        exchange.api_version = version
        exchange.answer_headers += phase.headers
        # Where the URL names the version too: a header that names another makes the answer a 400.
        exchange.vary = join_vary(exchange.vary, b"Accept, API-Version")

    def _retired(self, version: str, phase: Phase) -> VersionRetired:
        details: dict[str, object] = {"supported": self._supported()}
        successor = self._versions[version].successor
        if successor is not None:
            details["successor"] = successor
        if phase.brownout_end is None:
            return VersionRetired(details=details)
        wait = max(1, round(phase.brownout_end - self._now()))
        return VersionRetired(
            "This API version is about to be retired and is switched off for a while",
            details={**details, "brownout": True},
            headers={"Retry-After": str(wait)},
        )


def phase_at(version: Version, now: float) -> Phase:
    """The state of `version` at `now` (epoch seconds). Dates move it on from its stated status."""
    status = version.status
    moments = [time_of(version.deprecated_at), time_of(version.sunset_at)]
    deprecated_at, sunset_at = moments
    if sunset_at is not None and now >= sunset_at:
        status = Status.RETIRED
    elif (
        deprecated_at is not None
        and now >= deprecated_at
        and status in (Status.PREVIEW, Status.STABLE)
    ):
        status = Status.DEPRECATED
    brownout_end = None
    for brownout in version.brownouts:
        begin, end = brownout.begin.timestamp(), brownout.end.timestamp()
        moments += [begin, end]
        if begin <= now < end and status is Status.SUNSET:
            brownout_end = end
    ahead = [moment for moment in moments if moment is not None and moment > now]
    return Phase(status, _headers(version), brownout_end, min(ahead, default=None))


def _headers(version: Version) -> tuple[tuple[bytes, bytes], ...]:
    """API-Version, Deprecation (RFC 9745), Sunset (RFC 8594) and the successor (RFC 5829)."""
    headers: Headers = [(b"api-version", version.name.encode())]
    deprecated_at, sunset_at = time_of(version.deprecated_at), time_of(version.sunset_at)
    if deprecated_at is not None:
        headers.append((b"deprecation", b"@%d" % int(deprecated_at)))
    if sunset_at is not None:
        headers.append((b"sunset", formatdate(sunset_at, usegmt=True).encode()))
    if version.successor is not None and version.is_leaving:
        link = f'</api/{version.successor}>; rel="successor-version"'
        headers.append((b"link", link.encode()))
    return tuple(headers)


def time_of(moment: datetime | None) -> float | None:
    """Epoch seconds."""
    return None if moment is None else moment.timestamp()


def _from_header(value: bytes) -> str:
    match = _HEADER.fullmatch(value.decode("latin-1").strip())
    return "" if match is None else f"v{match[1]}"


def _from_accept(value: bytes) -> list[str]:
    """The versions in vendor types that the client does not rule out."""
    found = []
    for media, weight in media_ranges(value.decode("latin-1")):
        match = _VENDOR_TYPE.fullmatch(media)
        if match is not None and weight > 0:
            found.append(match[1])
    return found
