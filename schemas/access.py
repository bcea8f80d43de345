"""PURE: where the broker is and how to be known to it: what every process and tool has to say."""

import re
from dataclasses import dataclass
from typing import Any, Final

from schemas.environment import require, setting

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_ADDRESS = re.compile(r"[^\s:,]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Bootstrap servers and credentials; settings of processes extend it."""

    broker: str = setting("127.0.0.1:9092", "Kafka bootstrap servers, `host:port`, comma-separated")
    security: str = setting("PLAINTEXT", f"how to talk to the broker: {', '.join(PROTOCOLS)}")
    sasl_mechanism: str = setting("SCRAM-SHA-512", f"with SASL: {', '.join(MECHANISMS)}")
    sasl_username: str = setting("", "with SASL: who this is")
    sasl_password: str = setting("", "with SASL: the password; never logged", secret=True)
    tls_ca: str = setting("", "with TLS: file of the authorities to trust; empty: the system's")
    tls_certificate: str = setting("", "with TLS: file of this client's certificate, if the broker wants one")
    tls_key: str = setting("", "with TLS: file of that certificate's key")

    def __post_init__(self) -> None:
        servers = self.broker.split(",")
        require(self, "broker", all(map(_is_address, servers)), "host:port, comma-separated")
        require(self, "security", self.security in PROTOCOLS, f"one of {', '.join(PROTOCOLS)}")
        require(self, "sasl_mechanism", self.sasl_mechanism in MECHANISMS, f"one of {', '.join(MECHANISMS)}")
        for name in ("sasl_username", "sasl_password"):
            require(self, name, bool(getattr(self, name)) or not self.uses_sasl, "not empty, with SASL")
        both = bool(self.tls_certificate) == bool(self.tls_key)
        require(self, "tls_key", both, "a file if and only if there is a certificate")

    @property
    def uses_sasl(self) -> bool:
        """Whether the broker asks for a name and a password."""
        return self.security.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted, and the broker's certificate and host name are checked."""
        return self.security.endswith("SSL")


def client_options(access: Access) -> dict[str, Any]:
    """Return what every client of kafka-python is given to connect.

    >>> client_options(Access(broker="a:1,b:2"))
    {'bootstrap_servers': ['a:1', 'b:2'], 'security_protocol': 'PLAINTEXT'}
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [address.strip() for address in access.broker.split(",")],
        "security_protocol": access.security,
    }
    if access.uses_sasl:
        options["sasl_mechanism"] = access.sasl_mechanism
        options["sasl_plain_username"] = access.sasl_username
        options["sasl_plain_password"] = access.sasl_password
    if access.uses_tls:
        options["ssl_cafile"] = access.tls_ca or None
        options["ssl_certfile"] = access.tls_certificate or None
        options["ssl_keyfile"] = access.tls_key or None
    return options


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text)) and int(text.rpartition(":")[2]) <= 65535
