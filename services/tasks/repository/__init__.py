"""All SQL of tasks, by what it is for."""
