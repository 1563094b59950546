"""One file per phase: how its input is found and how its output is committed."""
