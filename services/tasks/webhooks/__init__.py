"""Telling other systems what happens to tasks, by Standard Webhooks 1.0."""
