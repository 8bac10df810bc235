"""Tasks under concurrent writers while the service, the worker and PostgreSQL are killed."""
