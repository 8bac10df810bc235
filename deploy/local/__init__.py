"""Runs the whole system on one machine: environment, embedded PostgreSQL, every process."""
