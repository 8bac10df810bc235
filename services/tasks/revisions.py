"""Where the revisions of the schema are, and what brings a database to the newest."""

from pathlib import Path

MIGRATIONS = Path(__file__).with_name("migrations")
MIGRATE_COMMAND = "python -m services.tasks migrate"
