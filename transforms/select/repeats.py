"""Recordings that are for the most part heard elsewhere: which of them leave as a whole.

By default a repeated stretch is cut: the clips in it leave and the rest of the recording stays. A
broadcast that is another one again but for its news is better left out altogether, which `repeats:
recording` does, from the share `repeated_share` of its seconds on.
"""

import pyarrow as pa
import pyarrow.compute as pc


def mostly_repeated(rows: pa.Table, share: float) -> pa.Array:
    """The recordings of which at least `share` leaves; `rows` has recording, seconds, leaves."""
    left = pc.if_else(rows["leaves"], rows["seconds"], 0.0)
    summed = (
        pa.table({"recording": rows["recording"], "seconds": rows["seconds"], "left": left})
        .group_by("recording")
        .aggregate([("seconds", "sum"), ("left", "sum")])
    )
    most = pc.and_(
        pc.greater(summed["left_sum"], 0.0),
        pc.greater_equal(summed["left_sum"], pc.multiply(summed["seconds_sum"], share)),
    )
    return summed.filter(most)["recording"].combine_chunks()
