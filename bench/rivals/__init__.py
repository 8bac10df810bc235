"""Other stacks that do the same job, to compare with. Their packages are installed apart."""
