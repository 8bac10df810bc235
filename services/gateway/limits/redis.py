"""The limiter that several gateways share: one Lua script on Redis, by Redis's own clock."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from services.gateway.limits.policies import Applied
from services.gateway.limits.quota import Quota
from shared.breaker import Breaker

log = structlog.get_logger(__name__)

# Bounds how long one script may keep Redis from its other callers.
MAX_CHECKS_PER_CALL = 128

# A call carries many requests: each has one argument, which is its cost and for every policy the
# interval, the burst and the shadow mark; KEYS has the counters in the same order. It is one, as
# packing many costs the caller more than it costs Redis to take one apart.
# The answer is what each counter owed before its request, in microseconds, from which the caller
# derives the same verdicts. Numbers stay below 2^53, where Lua's doubles are exact. A counter
# expires when it owes nothing any more, never earlier. One that owes more than its burst was
# written before Redis' clock was set back, and owes its burst from now on.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local debts, key = {}, 0
for _, request in ipairs(ARGV) do
  local numbers = {}
  for number in string.gmatch(request, '%d+') do
    numbers[#numbers + 1] = tonumber(number)
  end
  local cost, refused, writes = numbers[1], false, {}
  for at = 2, #numbers, 3 do
    local interval, burst, shadow = numbers[at], numbers[at + 1], numbers[at + 2]
    key = key + 1
    local arrival = tonumber(redis.call('GET', KEYS[key]) or 0)
    local debt = math.max(0, arrival - now)
    if debt > burst * interval then
      debt = burst * interval
      redis.call('SET', KEYS[key], string.format('%.0f', now + debt),
                 'PX', string.format('%.0f', math.ceil(debt / 1000)))
    end
    debts[key] = debt
    local after = debt + cost * interval
    if after <= burst * interval then
      writes[#writes + 1] = {KEYS[key], after}
    elseif shadow == 0 then
      refused = true
    end
  end
  if cost > 0 and not refused then
    for _, write in ipairs(writes) do
      redis.call('SET', write[1], string.format('%.0f', now + write[2]),
                 'PX', string.format('%.0f', math.ceil(write[2] / 1000)))
    end
  end
end
return debts
"""
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class LimiterUnavailable(Exception):
    """Redis did not answer, in time or at all."""


# Is told the outcome, or None when Redis gave none.
Done = Callable[[Quota | None], None]


class _Check:
    """One request's step, waiting for its turn."""

    __slots__ = ("applied", "argument", "cost", "done", "keys")

    def __init__(
        self,
        applied: Applied,
        subjects: tuple[str, ...],
        cost: int,
        done: Done,
    ) -> None:
        self.applied = applied
        self.cost = cost
        self.done = done
        self.argument = f"{cost}{applied.numbers}".encode("ascii")
        self.keys = [
            (policy.redis_key + subject).encode()
            for policy, subject in zip(applied.policies, subjects, strict=True)
        ]


class RedisLimiter:
    """Spends from counters that all gateways share.

    The checks of one turn of the event loop travel in one call, and one is made at a time. After a
    failure nobody waits for Redis until the breaker lets one call try again.
    """

    def __init__(
        self,
        client: Redis,
        *,
        timeout: float,
        breaker: Breaker | None = None,
    ) -> None:
        self._client = client
        # redis-py leaves this method without types.
        self._command: Callable[..., Awaitable[Any]] = client.execute_command
        # Seconds; a reload may change them.
        self.timeout = timeout
        self._breaker = breaker or Breaker()
        self._waiting: list[_Check] = []
        self._departing = False
        self._script_sent = False
        # While it is under way further checks gather for the next: a call costs as much as ten.
        self._call: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        """Whether the last call went well."""
        return self._breaker.closed

    async def spend(self, applied: Applied, subjects: tuple[str, ...], cost: int) -> Quota:
        """As MemoryLimiter.spend. Raises LimiterUnavailable."""
        answer: asyncio.Future[Quota | None] = asyncio.get_running_loop().create_future()

        def done(quota: Quota | None) -> None:
            if not answer.done():
                answer.set_result(quota)

        self.ask(applied, subjects, cost, done)
        quota = await answer
        if quota is None:
            raise LimiterUnavailable
        return quota

    def ask(self, applied: Applied, subjects: tuple[str, ...], cost: int, done: Done) -> None:
        """`spend` for who does not await: `done` is told, at once where Redis is left alone."""
        if not self._breaker.allows():
            done(None)
            return
        self._waiting.append(_Check(applied, subjects, cost, done))
        if not self._departing:
            self._departing = True
            asyncio.get_running_loop().call_soon(self._depart)

    async def ping(self) -> None:
        """Raises when Redis does not answer; the health report asks."""
        async with asyncio.timeout(self.timeout):
            await self._client.ping()

    async def close(self) -> None:
        """Ends calls under way and the connections."""
        if self._call is not None:
            self._call.cancel()
            await asyncio.wait([self._call])
        await self._client.aclose()

    def _depart(self) -> None:
        self._departing = False
        if self._call is None and self._waiting:
            checks = self._waiting[:MAX_CHECKS_PER_CALL]
            del self._waiting[:MAX_CHECKS_PER_CALL]
            self._call = asyncio.create_task(self._ask(checks))
            self._call.add_done_callback(self._ended)

    def _ended(self, _call: asyncio.Task[None]) -> None:
        self._call = None
        if not self._departing:
            self._depart()

    async def _ask(self, checks: list[_Check]) -> None:
        try:
            debts = await self._evaluate(checks)
            quotas = _quotas(checks, debts)
        except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
            if self._breaker.closed:
                log.warning("limiter_redis_failed", error=repr(error)[:200])
            self._breaker.failed()
            _fail(checks)
            # Those who wait for the next call would only wait in vain for longer.
            waiting, self._waiting = self._waiting, []
            _fail(waiting)
            return
        except BaseException:
            _fail(checks)
            raise
        if not self._breaker.closed:
            log.info("limiter_redis_recovered")
        self._breaker.succeeded()
        _tell(checks, quotas)

    async def _evaluate(self, checks: list[_Check]) -> list[Any]:
        keys = [key for check in checks for key in check.keys]
        arguments = [check.argument for check in checks]
        async with asyncio.timeout(self.timeout):
            answer = await self._run_script(keys, arguments)
        if not isinstance(answer, list) or len(answer) != len(keys):
            raise ValueError("the limiter script gave an answer of another shape")
        return answer

    async def _run_script(self, keys: list[bytes], arguments: list[bytes]) -> Any:
        if self._script_sent:
            try:
                return await self._command("EVALSHA", SCRIPT_SHA, len(keys), *keys, *arguments)
            except NoScriptError:
                # Redis was restarted, or told to forget its scripts.
                self._script_sent = False
        answer = await self._command("EVAL", SCRIPT, len(keys), *keys, *arguments)
        self._script_sent = True
        return answer


def _fail(checks: list[_Check]) -> None:
    _tell(checks, [None] * len(checks))


def _tell(checks: list[_Check], quotas: Sequence[Quota | None]) -> None:
    """Tells everybody from a turn of the event loop of their own, out of the call's task."""
    loop = asyncio.get_running_loop()
    for check, quota in zip(checks, quotas, strict=True):
        loop.call_soon(check.done, quota)


def _quotas(checks: list[_Check], debts: list[Any]) -> list[Quota]:
    """The outcome of each check: the verdict follows from the debts, as in the script."""
    quotas, position = [], 0
    for check in checks:
        end = position + len(check.keys)
        quotas.append(Quota(check.applied, [int(debt) for debt in debts[position:end]], check.cost))
        position = end
    return quotas
