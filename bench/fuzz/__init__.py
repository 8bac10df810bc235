"""Mutated requests at the whole gateway, and what its answers are held to."""
