"""A token that can be verified here costs auth nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from pathlib import Path

import pytest

from services.gateway import app
from shared.jwks import JwksCache
from tests import tokens
from tests.service.gateway.door import GENEROUS, door, upstream

TOKENS, USES = 20, 5


async def test_verified_tokens_flow_without_a_request_to_auth(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(GENEROUS)
    async with contextlib.AsyncExitStack() as stack:
        auth, tasks = [await stack.enter_async_context(upstream()) for _ in range(2)]
        settings = {"auth_upstream": auth.url, "tasks_upstream": tasks.url}
        opened = await stack.enter_async_context(door(config, tasks, **settings))
        given = [tokens.token(jti=f"token-{number}") for number in range(TOKENS)]
        forged = tokens.token(key="another", headers={"kid": tokens.KEY_ID})
        answers = await asyncio.gather(
            *(opened.get("/api/v2/tasks", token=token) for token in given * USES)
        )
        refused = [(await opened.get("/api/v2/tasks", token=forged))[0].status for _ in range(3)]
    assert {answer.status for answer, _ in answers} == {200}
    assert refused == [401] * 3
    assert len(tasks.seen) == TOKENS * USES
    assert [request.path for request in auth.seen if not request.path.startswith("/health")] == []
    # The key set was fetched in the background, not for each token.
    assert auth.key_set_fetches <= 2


async def test_a_token_that_is_known_ends_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "JwksCache", functools.partial(JwksCache, refresh_seconds=0.05))
    config = tmp_path / "gateway.toml"
    config.write_text(GENEROUS)
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(upstream())
        opened = await stack.enter_async_context(door(config, service))
        token, path = tokens.token(), "/api/v2/tasks"
        # The third is a repetition, of which all is known.
        before = [(await opened.get(path, token=token))[0].status for _ in range(4)]
        service.keys = ("key-2",)
        async with asyncio.timeout(10):
            while (await opened.get(path, token=token))[0].status == 200:
                pass
        after, _ = await opened.get(path, token=token)
        others, _ = await opened.get(path, token=tokens.token(key="key-2"))
    assert before == [200] * 4
    assert (after.status, others.status) == (401, 200)


async def test_a_key_in_the_query_is_no_credential(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(GENEROUS)
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(upstream())
        opened = await stack.enter_async_context(door(config, tasks))
        for name in ("api_key", "X-API-Key", "access_token", "token"):
            answer, _ = await opened.get(f"/api/v2/tasks?{name}={tokens.token()}")
            assert answer.status == 401
    assert tasks.seen == []
