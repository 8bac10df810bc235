"""From requests to arguments and back, by version."""
