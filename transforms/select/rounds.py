"""Settle a grouping in memory: its kinds of key in order, each over the rows that are left.

The pipeline does the same with keys gathered by prefix; here one table holds everything, which
says exactly what the rounds mean and serves for some ten million rows.
"""

import pyarrow as pa
import pyarrow.compute as pc

from transforms.select.drops import no_drops
from transforms.step import Grouping


def settle(step: Grouping, rows: pa.Table) -> pa.Table:
    """Every drop of a set of clips, given all of its rows; ordered by round, then id."""
    keys = step.keys(rows)
    drops = no_drops()
    for kind in step.rounds():
        left = pc.is_in(keys["id"], value_set=drops["id"].combine_chunks())
        waiting = keys.filter(pc.and_(pc.equal(keys["kind"], kind), pc.invert(left)))
        drops = pa.concat_tables([drops, step.losers(waiting)])
    return drops
