"""A shard as reading it document by document asks for it: the index's columns, by place.

Planning and filling ask a few numbers of each document. Taken from lists that are made once per
shard they cost nothing; a record per document cost more than comparing its checksums.
"""

from schemas.shard import FORMAT
from schemas.shard_tokens import TokenizerEntry
from trainer.index_columns import Member, Rows
from trainer.outlines import Outlines

LARGE = 128 << 10  # bytes of an array that is better mapped than read


class ShardPlaces:
    """By place in the index of one shard."""

    __slots__ = (
        "agree", "begins", "chunks", "crc32", "keys", "large", "members", "offsets", "outlines",
        "sizes", "where",
    )  # fmt: skip

    def __init__(
        self, rows: Rows, outlines: Outlines | None, stored: TokenizerEntry | None, where: str
    ) -> None:
        self.where, self.outlines, self.keys = where, outlines, rows.keys
        # of the JSON
        self.offsets: list[int] = rows.column("json_offset")
        self.sizes: list[int] = rows.column("json_size")
        self.crc32: list[int] = rows.column("json_crc32")
        self.begins = [b'{"format":%d,"id":"%s",' % (FORMAT, key.encode()) for key in rows.keys]
        self.members: list[Member] = [] if stored is None else rows.members(stored.name)
        self.large = sum(size for _, size, _, _ in self.members) >= LARGE * len(rows)
        """Whether what is read of most documents is long arrays."""
        self.chunks = rows.total("chunks")
        # whether row and outline say the same of a document; False: ask which is wrong
        self.agree: list[bool] = []
        if outlines is not None:
            seconds, chunks, heard = outlines.counts()
            same = (seconds == rows.array("seconds")) & (chunks == rows.array("chunks"))
            self.agree = (same & (heard == rows.heard())).tolist()
