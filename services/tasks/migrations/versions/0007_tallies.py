"""Counts of live tasks that are kept, a search by owner, and an index for what is urgent."""

from alembic import op

revision = "0007"
down_revision = "0006"

# One row for each way to fall into a filter; the label '' stands for all tasks, labelled or not.
_TALLIES = """
    CREATE TABLE tallies (
        owner_id uuid NOT NULL,
        label text COLLATE "C" NOT NULL,
        completed boolean NOT NULL,
        priority smallint NOT NULL,
        tasks bigint NOT NULL,
        PRIMARY KEY (owner_id, label, completed, priority)
    ) WITH (fillfactor = 70)
"""
_COUNTED = """
    SELECT owner_id, unnest(labels || ''::text) AS label, completed, priority, {sign}1 AS tasks
    FROM {rows} WHERE deleted_at IS NULL
"""
_MOVE = """
    INSERT INTO tallies AS kept
    SELECT owner_id, label, completed, priority, sum(tasks) FROM ({counted}) AS counted
    GROUP BY owner_id, label, completed, priority HAVING sum(tasks) <> 0
    ORDER BY owner_id, label, completed, priority
    ON CONFLICT (owner_id, label, completed, priority)
    DO UPDATE SET tasks = kept.tasks + excluded.tasks
"""
# A trigger and not the writers, so that COPY and whatever comes is counted as well. Writers of one
# owner take turns, so nobody waits for these rows who does not wait already.
_TRIGGER = """
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {body};
        RETURN NULL;
    END
    $$
"""
# Labels that nobody has any more, and owners without a task, leave nothing behind.
_FORGET = """
    DELETE FROM tallies USING (
        SELECT DISTINCT owner_id, unnest(labels || ''::text) AS label
        FROM before WHERE deleted_at IS NULL
    ) AS gone
    WHERE tallies.owner_id = gone.owner_id AND tallies.label = gone.label AND tallies.tasks = 0
"""
_NEW, _OLD = (
    _COUNTED.format(sign="+", rows="after"),
    _COUNTED.format(sign="-", rows="before"),
)
_COUNTING = (
    _TRIGGER.format(name="tally_new", body=_MOVE.format(counted=_NEW)),
    _TRIGGER.format(
        name="tally_changed",
        body=f"{_MOVE.format(counted=f'{_NEW} UNION ALL {_OLD}')}; {_FORGET}",
    ),
    _TRIGGER.format(name="tally_gone", body=f"{_MOVE.format(counted=_OLD)}; {_FORGET}"),
    """
    CREATE TRIGGER tally_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS after
        FOR EACH STATEMENT EXECUTE FUNCTION tally_new()
    """,
    """
    CREATE TRIGGER tally_changed AFTER UPDATE ON tasks
        REFERENCING OLD TABLE AS before NEW TABLE AS after
        FOR EACH STATEMENT EXECUTE FUNCTION tally_changed()
    """,
    """
    CREATE TRIGGER tally_gone AFTER DELETE ON tasks REFERENCING OLD TABLE AS before
        FOR EACH STATEMENT EXECUTE FUNCTION tally_gone()
    """,
)
_BACKFILL = """
    INSERT INTO tallies
    SELECT owner_id, label, completed, priority, count(*)
    FROM tasks, unnest(labels || ''::text) AS label WHERE deleted_at IS NULL
    GROUP BY owner_id, label, completed, priority
"""
# The owner is a word of each of his tasks, so the index finds the tasks of one owner that have a
# word without looking at those of others. No word of a text has a colon in it.
_SEARCH = r"""
    ALTER TABLE tasks DROP COLUMN search;
    ALTER TABLE tasks ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', translate(title, '/.:@_=<>&', '         ')), 'A') ||
        setweight(
            to_tsvector('simple', translate(coalesce(description, ''), '/.:@_=<>&', '         ')),
            'B'
        ) || array_to_tsvector(ARRAY['owner:' || owner_id::text])
    ) STORED;
    CREATE INDEX tasks_by_word ON tasks USING gin (search) WHERE deleted_at IS NULL
"""
_BY_URGENCY = """
    CREATE INDEX tasks_by_urgency ON tasks (owner_id, priority, due_date, id)
        WHERE deleted_at IS NULL
"""
# For a planner that hopes to meet enough of them soon, rare words are the dearest: it walks through
# all tasks in their order. With nothing but bitmap scans allowed, and nothing but the words asked
# for, only the index of words is left. Both settings end with the call.
_WITH_WORDS = """
    CREATE FUNCTION tasks_with(words tsquery, most bigint) RETURNS SETOF uuid
    LANGUAGE sql STABLE ROWS 100 SET enable_seqscan = off SET enable_indexscan = off AS $$
        SELECT id FROM tasks WHERE search @@ words AND deleted_at IS NULL LIMIT most
    $$
"""


def upgrade() -> None:
    for statement in (
        _TALLIES,
        _BACKFILL,
        *_COUNTING,
        *_SEARCH.split(";"),
        _BY_URGENCY,
        _WITH_WORDS,
    ):
        op.execute(statement)
