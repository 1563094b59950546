"""Settle a grouping in memory: its rounds in order, each over the rows that are left.

The pipeline does the same with keys gathered by prefix; here one table holds everything, which
says exactly what the rounds mean and serves for some ten million rows.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.select.dedup import REPEATED, Dedup
from transforms.select.drops import clip_seconds, drops_table, no_drops
from transforms.select.matching import Matcher
from transforms.select.near import best_scores, near_drops, settled_here
from transforms.select.repeats import mostly_repeated


def settle(step: Dedup, rows: pa.Table) -> pa.Table:
    """Every drop of a set of clips, given all of its rows; ordered by round, then id."""
    drops = no_drops()
    for of_round in step.rounds():
        matcher = of_round.matcher()
        if matcher is None:
            left = of_round.losers(of_round.keys(rows))
        else:
            rows = rows.sort_by(
                [("task", "ascending"), ("index", "ascending"), ("id", "ascending")]
            )
            left = _near(of_round, matcher, rows)
        gone = pc.is_in(rows["id"], value_set=left["id"].combine_chunks())
        rows = rows.filter(pc.invert(gone))
        drops = pa.concat_tables([drops, left])
    return drops


def _near(step: Dedup, matcher: Matcher, rows: pa.Table) -> pa.Table:
    """What leaves in a round of near-duplicates; rows in the order of task and index."""
    seconds = clip_seconds(rows)
    settled, links = settled_here(matcher, rows, step.ranks(rows), seconds)
    if step.near == "note":
        return no_drops()
    at = pa.array(settled.leaves)
    scores = best_scores(links, settled.leaves)
    stays = rows["id"].take(pa.array(settled.stays))
    own = seconds[settled.leaves]
    drops = near_drops(step.name(), matcher, rows.take(at), stays, scores, own)
    if step.repeats == "recording" and step.audio is not None:
        leaves = np.zeros(rows.num_rows, np.bool_)
        leaves[settled.leaves] = True
        table = pa.table({"recording": rows["recording"], "seconds": seconds, "leaves": leaves})
        whole = mostly_repeated(table, step.repeated_share)
        more = pc.is_in(rows["recording"], whole).to_numpy() & ~leaves
        drops = pa.concat_tables([drops, rest_of(step, rows.filter(pa.array(more)), seconds[more])])
    return drops


def rest_of(step: Dedup, rows: pa.Table, seconds: npt.NDArray[np.float64]) -> pa.Table:
    """Drops of rows whose recordings leave as a whole."""
    return drops_table(
        id=rows["id"],
        root=rows["task"],
        step=step.name(),
        reason=REPEATED,
        seconds=pa.array(seconds),
        threshold=step.repeated_share,
        detail=pc.binary_join_element_wise("recording ", rows["recording"], ""),
    )
