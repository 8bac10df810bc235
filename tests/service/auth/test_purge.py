from datetime import timedelta

from services.auth.handlers import STORE
from services.auth.usecases.purge import BATCH, purge
from shared.clock import utc_now
from tests.service.auth.conftest import Auth, Start, eventually

ID = "0199a6f0-c0de-7000-8000-000000000001"
KEPT = timedelta(hours=1)
BATCHED = "LIMIT 500 FOR UPDATE SKIP LOCKED"
LOOK_UPS = (
    "SELECT * FROM api_keys WHERE hash = '\\x00'",
    f"SELECT * FROM api_keys WHERE user_id = '{ID}'",
    "SELECT * FROM revocations WHERE sequence > 2990 ORDER BY sequence LIMIT 1000",
    f"SELECT sequence FROM revocations WHERE at < '2020-01-01' ORDER BY at {BATCHED}",
    "SELECT * FROM users WHERE email = 'ada7@example.com'",
    f"SELECT 1 FROM sessions s JOIN users u ON u.id = user_id WHERE s.id = '{ID}' FOR UPDATE OF s",
    "SELECT locked_until FROM failed_guesses WHERE subject = '\\x00' FOR UPDATE",
    "SELECT * FROM sessions WHERE cookie_hash = '\\x00' AND ended_at IS NULL",
    "SELECT * FROM failed_entries WHERE source = '\\x00' ORDER BY expires_at DESC OFFSET 9 LIMIT 1",
    f"SELECT source FROM failed_entries WHERE expires_at < now() ORDER BY expires_at {BATCHED}",
    f"SELECT id FROM sessions WHERE user_id = '{ID}' AND ended_at IS NULL ORDER BY id FOR UPDATE",
    f"SELECT id FROM sessions WHERE idle_expires_at < now() ORDER BY idle_expires_at {BATCHED}",
    f"SELECT subject FROM failed_guesses WHERE expires_at < now() ORDER BY expires_at {BATCHED}",
)


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


async def test_no_look_up_of_a_login_or_a_refresh_reads_a_whole_table(auth: Auth) -> None:
    await auth.sql(
        "INSERT INTO users (id, name, email, password_hash, password_changed_at, role, tier,"
        " created_at, updated_at) SELECT gen_random_uuid(), 'Ada', 'ada' || n || '@example.com',"
        " 'x', now(), 'user', 'default', now(), now() FROM generate_series(1, 3000) n"
    )
    await auth.sql(
        "INSERT INTO sessions (id, user_id, created_at, used_at, idle_expires_at, expires_at)"
        " SELECT gen_random_uuid(), id, now(), now(), now() + interval '7 days',"
        " now() + interval '30 days' FROM users"
    )
    await auth.sql(
        "INSERT INTO failed_guesses SELECT sha256(n::text::bytea), 1, NULL, now() +"
        " interval '1 day' FROM generate_series(1, 3000) n"
    )
    await auth.sql(
        "INSERT INTO failed_entries SELECT sha256((n % 100)::text::bytea),"
        " sha256(n::text::bytea), now() + interval '1 day' FROM generate_series(1, 3000) n"
    )
    await auth.sql(
        "INSERT INTO revocations SELECT n, 'session', gen_random_uuid(), NULL, now() FROM"
        " generate_series(1, 3000) n"
    )
    await auth.sql(
        "INSERT INTO api_keys SELECT gen_random_uuid(), id, 'k', sha256(id::text::bytea), 'abcd',"
        " '{}', now() FROM users"
    )
    await auth.sql("ANALYZE")
    for query in LOOK_UPS:
        plan = "\n".join(row[0] for row in await auth.sql(f"EXPLAIN {query}"))
        assert "Seq Scan" not in plan, plan
