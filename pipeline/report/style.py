"""The style sheet, a file of its own so that editors and browsers know it for what it is."""

from importlib.resources import files

CSS = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
