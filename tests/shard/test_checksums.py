"""The checksum is zip's: other readers find the same."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from schemas.checksums import crc32


@given(st.binary(max_size=5000))
def test_the_checksum_is_that_of_zip(data: bytes) -> None:
    assert crc32(data) == crc32(memoryview(data)) == zlib.crc32(data)
