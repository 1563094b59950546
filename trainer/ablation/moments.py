"""When a model is asked: a step, a share of its run ("25%"), or "end"."""

Moment = int | str


def share_of(moment: Moment) -> float | None:
    """The share of the run that a moment is, or None for a step. Raises `ValueError`."""
    if isinstance(moment, int) and not isinstance(moment, bool):
        if moment < 0:
            raise ValueError(f"step {moment} is below 0")
        return None
    if moment == "end":
        return 1.0
    text = str(moment)
    if text.endswith("%") and text[:-1].isdecimal() and 0 <= int(text[:-1]) <= 100:
        return int(text[:-1]) / 100
    raise ValueError(f'{moment!r} is no moment: write a step, a share such as "25%", or end')


def step_of(moment: Moment, steps: int) -> int:
    """The update after which a moment of a run of `steps` lies."""
    share = share_of(moment)
    if share is None:
        assert isinstance(moment, int)
        return moment
    return round(share * steps)
