"""SHELL: how Faust is known to the broker; reads the files of certificates."""

import ssl

import faust
from faust.auth import Credentials

from schemas.access import Access
from schemas.errors import SettingsError


def faust_credentials(access: Access) -> Credentials | None:
    """Return what Faust connects with; None where the broker asks for nothing.

    Raises:
        SettingsError: a file of certificates cannot be read.
    """
    context = _tls_context(access) if access.uses_tls else None
    if access.uses_sasl:
        return faust.SASLCredentials(
            username=access.sasl_username,
            password=access.sasl_password,
            mechanism=access.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def _tls_context(access: Access) -> ssl.SSLContext:
    files = ", ".join(filter(None, (access.tls_ca, access.tls_certificate, access.tls_key)))
    try:
        context = ssl.create_default_context(cafile=access.tls_ca or None)
        if access.tls_certificate:
            context.load_cert_chain(access.tls_certificate, access.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"TLS: expected certificates in PEM format in {files}, got {error}") from None
    return context
