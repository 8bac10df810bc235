"""The shapes of the tasks API, by version and use."""
