"""How audio begins: the first bytes of the containers that `decode` reads."""

HEAD = 16  # bytes

_AT_START = (
    *(b"fLaC", b"OggS", b"ID3", b"\x1a\x45\xdf\xa3", b"NIST_1A", b".snd", b"caff", b"#!AMR"),
    *(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"riff\x2e\x91\xcf\x11"),
)
_BOXED = {b"WAVE": (b"RIFF", b"RIFX", b"RF64"), b"AVI ": (b"RIFF",)} | dict.fromkeys(
    (b"AIFF", b"AIFC"), (b"FORM",)
)


def begins_like_audio(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a known audio or video container."""
    return (
        head.startswith(_AT_START) or head[:4] in _BOXED.get(head[8:12], ()) or head[4:8] == b"ftyp"
    )
