"""How a process says who it is to the broker, and that its secrets stay out of everything that is shown."""

from pathlib import Path

import pytest

from learner.settings import LearnerSettings
from schemas.access import Access, client_options
from schemas.errors import SettingsError
from stream.credentials import faust_credentials
from stream.settings import Settings
from tests.certificates import make_certificates

SASL = {"security": "SASL_SSL", "sasl_username": "ann", "sasl_password": "hunter2"}


def test_sasl_reaches_the_clients_of_kafka_python() -> None:
    options = client_options(Access(**SASL, tls_ca="/ca.pem"))
    assert options == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "hunter2",
        "ssl_cafile": "/ca.pem",
        "ssl_certfile": None,
        "ssl_keyfile": None,
    }


@pytest.mark.parametrize("kind", [Access, Settings, LearnerSettings])
def test_secrets_are_in_no_repr(kind: type[Access]) -> None:
    assert "hunter2" not in repr(kind(**SASL))
    assert "ann" in repr(kind(**SASL))
    assert "t0ken" not in repr(Settings(web_token="t0ken"))
    assert "t0ken" not in repr(Settings(database="postgresql://ann:t0ken@db/freshrank"))


@pytest.mark.parametrize(
    ("wrong", "variable"),
    [
        ({"security": "TLS"}, "FRESHRANK_SECURITY"),
        ({**SASL, "sasl_mechanism": "MD5"}, "FRESHRANK_SASL_MECHANISM"),
        ({**SASL, "sasl_password": ""}, "FRESHRANK_SASL_PASSWORD"),
        ({**SASL, "sasl_username": ""}, "FRESHRANK_SASL_USERNAME"),
        ({**SASL, "tls_certificate": "/client.pem"}, "FRESHRANK_TLS_KEY"),
    ],
)
def test_half_a_credential_is_refused_by_name_and_without_secrets(
    wrong: dict[str, str], variable: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: expected") as caught:
        Access(**wrong)
    assert "hunter2" not in str(caught.value)


def test_faust_is_given_the_same_credentials(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    assert faust_credentials(Access()) is None
    sasl = faust_credentials(Access(**SASL, tls_ca=str(made.authority)))
    assert (sasl.username, sasl.mechanism.value, sasl.protocol.value) == ("ann", "SCRAM-SHA-512", "SASL_SSL")
    tls = faust_credentials(
        Access(security="SSL", tls_certificate=str(made.client), tls_key=str(made.client_key))
    )
    assert tls.protocol.value == "SSL"


def test_a_missing_certificate_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"^TLS: expected certificates .* in /nowhere\.pem, got"):
        faust_credentials(Access(security="SSL", tls_ca="/nowhere.pem"))


def test_http_beyond_loopback_needs_a_token() -> None:
    with pytest.raises(
        SettingsError, match=r"^FRESHRANK_WEB_TOKEN: expected a token, as web_host 0\.0\.0\.0"
    ):
        Settings(web_host="0.0.0.0")
    assert Settings(web_host="0.0.0.0", web_token="x").web_token == "x"
