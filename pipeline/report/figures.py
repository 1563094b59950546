"""Numbers as people read them: fixed places in a column, a unit on every number, no locale.

A value that is not nothing never shows as nothing: 0.2 s in a column of hundredths of an hour is
"<0.01", because a funnel that shows 0.00 for a loss is wrong.
"""

import math

from pipeline.report import clean
from pipeline.report.content import Totals, Value

DASH = "\u2013"
TO = f" {DASH} "
NARROW = "\u202f"  # no-break space between a number and its unit
MINUS = "\u2212"


def count(number: int) -> str:
    """Thousands set off by commas."""
    return f"{number:,}".replace("-", MINUS)


def hour_places(most_seconds: float) -> int:
    """Decimals for a column of hours whose largest value is `most_seconds`."""
    hours = most_seconds / 3600
    return 4 if hours < 1 else 3 if hours < 10 else 2 if hours < 1000 else 1


def hours(seconds: float | None, places: int) -> str:
    """Seconds as hours, without the unit; a dash where unknown."""
    if seconds is None:
        return DASH
    return _fixed(seconds / 3600, places)


def share(part: float, whole: float) -> str:
    """A part of a whole in percent; a dash where there is no whole."""
    if whole <= 0:
        return DASH
    return _fixed(100 * part / whole, 1) + NARROW + "%"


def seconds(value: float) -> str:
    """A length: "4.20 s", "3 min 05 s", "2 h 07 min"."""
    if value < 60:
        return f"{value:.2f}{NARROW}s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}{NARROW}min {whole % 60:02d}{NARROW}s"
    minutes = round(value / 60)
    return f"{minutes // 60:,}{NARROW}h {minutes % 60:02d}{NARROW}min"


def clock(value: float) -> str:
    """A place in a recording: "0:04.2", "1:02:03.4"."""
    tenths = round(value * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 10:04.1f}"


def size(byte_count: int) -> str:
    """Bytes in decimal units."""
    value = float(byte_count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    places = 0 if unit == "B" else 1
    return f"{value:,.{places}f}{NARROW}{unit}"


def score(value: Value, unit: str = "") -> str:
    """A score with its unit: four significant digits, never an exponent for ordinary sizes."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        text = count(value)
    elif isinstance(value, float):
        text = _significant(value)
    else:
        text = clean.line(value)
    return f"{text}{NARROW}{clean.line(unit)}" if unit else text


def _significant(value: float) -> str:
    if not math.isfinite(value):
        return "infinite" if math.isinf(value) else "not a number"
    if value != 0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3e}".replace("-", MINUS)
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{max(0, min(6, 3 - magnitude))}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def _fixed(value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    if value and float(text.replace(",", "")) == 0:
        return ("<" if value > 0 else f">{MINUS}") + f"{10**-places:.{places}f}"
    return text.replace("-", MINUS)


def pages(totals: Totals) -> str:
    """ " and 12 pages", where a run had any."""
    return f" and {count(totals.pages)} pages" if totals.pages else ""
