from datetime import timedelta

from services.auth.handlers import STORE
from services.auth.usecases.purge import BATCH, purge
from shared.clock import utc_now
from tests.service.auth.conftest import Auth, Start, eventually

KEPT = timedelta(hours=1)


async def test_only_what_is_past_its_time_goes(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.log_in("ada@example.com")
    await auth.log_in("ada@example.com", "seven-lazy-badgers-sing")
    await auth.log_in("nobody@example.com", "seven-lazy-badgers-sing")
    store, now = auth.client.app[STORE], utc_now()
    assert await purge(store, now, revocations_kept=KEPT) == 0
    assert await purge(store, now + timedelta(days=2), revocations_kept=KEPT) == 6
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []
    assert await auth.sql("SELECT 1 FROM failed_entries") == []
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 2
    assert await purge(store, now + timedelta(days=8), revocations_kept=KEPT) == 2
    assert await auth.sql("SELECT 1 FROM sessions") == []
    assert len(await auth.sql("SELECT 1 FROM users")) == 1


async def test_many_rows_go_in_batches(auth: Auth) -> None:
    await auth.sql(
        "INSERT INTO failed_guesses SELECT sha256(n::text::bytea), 1, NULL, now() FROM"
        f" generate_series(1, {2 * BATCH + 1}) n"
    )
    assert await purge(auth.client.app[STORE], utc_now(), revocations_kept=KEPT) == 2 * BATCH + 1


async def test_the_service_purges_by_itself(start: Start) -> None:
    auth = await start(purge_seconds=0.1)
    await auth.sql("INSERT INTO failed_guesses VALUES ('x', 1, NULL, now() - interval '1 day')")

    async def empty() -> bool:
        return await auth.sql("SELECT 1 FROM failed_guesses") == []

    await eventually(empty)
