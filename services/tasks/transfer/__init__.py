"""Tasks as files: the formats that imports read and exports write."""
