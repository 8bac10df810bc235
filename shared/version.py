"""The version of the project, as the change log and pyproject.toml say it, and of its APIs."""

VERSION = "0.1.0"
API_VERSIONS = ("v1", "v2")
