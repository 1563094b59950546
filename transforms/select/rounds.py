"""Settle a grouping in memory: its rounds in order, each over the rows that are left.

The pipeline does the same with keys gathered by prefix; here one table holds everything, which
says exactly what the rounds mean and serves for some ten million rows.
"""

import pyarrow as pa
import pyarrow.compute as pc

from transforms.select.drops import no_drops
from transforms.step import Grouping


def settle(step: Grouping, rows: pa.Table) -> pa.Table:
    """Every drop of a set of clips, given all of its rows; ordered by round, then id."""
    drops = no_drops()
    for of_round in step.rounds():
        left = of_round.losers(of_round.keys(rows))
        gone = pc.is_in(rows["id"], value_set=left["id"].combine_chunks())
        rows = rows.filter(pc.invert(gone))
        drops = pa.concat_tables([drops, left])
    return drops
