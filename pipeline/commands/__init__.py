"""One file per command of `speechloom`: its arguments, and what it prints."""
