"""An endpoint behind TLS: certificates are checked, and deadlines hold there, too."""

import datetime
import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generate.endpoint import Mock, Reply
from transforms.engines.generator_http import Caller, Limits, Unanswered

x509 = pytest.importorskip("cryptography.x509")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of our own for 127.0.0.1, as a file to trust and as a server's context."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    trust, secret = folder / "trust.pem", folder / "key.pem"
    trust.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trust, secret)
    return trust, context


@pytest.fixture
def mock(certificate: tuple[Path, ssl.SSLContext]) -> Iterator[Mock]:
    made = Mock(lambda *_: Reply(b" " * 200, trickle=0.1), tls=certificate[1])
    yield made
    made.close()


def test_an_answer_comes_and_a_trickle_ends_at_its_deadline(
    mock: Mock, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    caller = Caller(mock.url, limits=Limits(total=5.0, tries=1))
    assert caller.get("/models") == {"data": [{"id": "small"}]}
    began = time.monotonic()
    with pytest.raises(Unanswered, match=r"within 0\.5 s") as late:
        Caller(mock.url, limits=Limits(total=0.5, tries=1)).post("/chat/completions", {}, "")
    assert late.value.code == "timeout" and time.monotonic() - began < 10


def test_a_certificate_that_nobody_signed_is_refused(mock: Mock) -> None:
    with pytest.raises(Unanswered, match="CERTIFICATE_VERIFY_FAILED"):
        Caller(mock.url, limits=Limits(tries=1)).get("/models")
