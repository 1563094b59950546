"""Certificates are always verified: nothing comes over TLS that cannot be trusted."""

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest

from tests.gather.web.bad_server import SOUND, head
from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Answer, Client
from transforms.gather.web.failures import FetchError
from transforms.gather.web.urls import Url, canonical


def certificate(folder: Path, address: str, days: int) -> Path:
    """A certificate of our own making, and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ours")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "ours.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def _free(url: Url) -> None:
    """Everything may be asked for."""


def fetch(folder: Path, *, address: str = "127.0.0.1", days: int = 30, trusted: bool) -> Answer:
    """Fetch from a server with such a certificate, which is trusted or not."""
    pem = certificate(folder, address, days)

    async def work() -> Answer:
        async def one(reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            out.write(head(200, len(SOUND)) + SOUND)
            await out.drain()
            out.close()

        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(pem)
        server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=own)
        port = server.sockets[0].getsockname()[1]
        trust = ssl.create_default_context(cafile=str(pem)) if trusted else None
        allowed = Exceptions.parse((f"127.0.0.1:{port}",))
        try:
            async with Client("testbot/1", allowed=allowed, trust=trust) as client:
                url = canonical(f"https://127.0.0.1:{port}/x")
                return await client.fetch(url, folder / "body", _free)
        finally:
            server.close()

    return asyncio.run(work())


def test_a_certificate_that_is_trusted_is_taken(tmp_path: Path) -> None:
    assert fetch(tmp_path, trusted=True).bytes == len(SOUND)


@pytest.mark.parametrize(
    ("how", "given"),
    [
        ("of nobody we trust", {"trusted": False}),
        ("of another address", {"trusted": True, "address": "192.0.2.1"}),
        ("that has run out", {"trusted": True, "days": -1}),
    ],
)
def test_a_certificate_that_cannot_be_trusted_ends_it(
    how: str, given: dict[str, bool], tmp_path: Path
) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path, **given)
    assert caught.value.code == "tls", how
