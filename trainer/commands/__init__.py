"""The commands of `speechloom-train`: one file each, whose name and first line are the command's.

A command has `add_arguments(parser)` and `run(arguments) -> exit code`. What is slow to load is
imported inside `run`, so that `--help` answers at once.
"""
