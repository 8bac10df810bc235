"""The version of the project; the change log and pyproject.toml say the same."""

VERSION = "0.1.0"
