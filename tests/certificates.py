"""Certificates made for one test: an authority, a broker that it signed, and a client."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """PEM files."""

    authority: Path
    broker: Path
    client: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """Write them all; the broker's is for the loopback address."""
    authority = trustme.CA()
    broker, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("client.test")
    made = Certificates(
        authority=directory / "authority.pem",
        broker=directory / "broker.pem",
        client=directory / "client.pem",
        client_key=directory / "client.key",
    )
    authority.cert_pem.write_to_path(str(made.authority))
    chain = b"".join(blob.bytes() for blob in broker.cert_chain_pems)
    made.broker.write_bytes(_pkcs8(broker.private_key_pem.bytes()) + chain)
    client.cert_chain_pems[0].write_to_path(str(made.client))
    client.private_key_pem.write_to_path(str(made.client_key))
    return made


def _pkcs8(key: bytes) -> bytes:
    """Kafka reads no other format."""
    loaded = load_pem_private_key(key, password=None)
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
