"""The connection to Prometheus: its address, credentials and certificates."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from autoscaler.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

PREFIX = "AUTOSCALER_PROMETHEUS_"
"""The beginning of the names of the settings."""
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class ConnectionSettings:
    """The address of Prometheus and the credentials, as `Settings` validated them. Its repr has no secret."""

    url: str = field(repr=False)
    """The URL, which may have a user and a password."""
    username: str = ""
    password: SecretStr | None = None
    bearer_token: SecretStr | None = None
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    """The most seconds of one read."""

    @property
    def address(self) -> str:
        """Return the URL without user and password."""
        return self._parts._replace(netloc=self._parts.netloc.rpartition("@")[2]).geturl().rstrip("/")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Return user and password, from the settings or else the URL; None if there are none."""
        if self.username:
            return self.username, _revealed(self.password)
        if self._parts.username:
            return unquote(self._parts.username), unquote(self._parts.password or "")
        return None

    @property
    def all_headers(self) -> dict[str, str]:
        """Return the headers to send, with the bearer token."""
        token = {"Authorization": f"Bearer {_revealed(self.bearer_token)}"} if self.bearer_token is not None else {}
        return {**self.headers, **token}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return each text of four characters or more that must not be shown, the longest first."""
        user, password = self.credentials or ("", "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password else ""
        texts = {password, basic, _revealed(self.bearer_token), *self.headers.values()}
        return tuple(sorted((text for text in texts if len(text) >= _SHORTEST_SECRET), key=len, reverse=True))

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)


def check_certificates(connection: ConnectionSettings) -> None:
    """Raise SettingsError if the file of a certificate cannot be used. Requests would not name the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name, cure = "CA_FILE", "name a PEM file with the authority's certificate"
    try:
        if connection.ca_file:
            context.load_verify_locations(connection.ca_file)
        name, cure = "CERT_FILE", f"name a PEM file with certificate and key, or give the key as {PREFIX}KEY_FILE"
        if connection.cert_file:
            # Any password, so that an encrypted key is an error and not a prompt.
            context.load_cert_chain(connection.cert_file, connection.key_file or None, password="-")  # noqa: S106 - not a secret
    except OSError as error:  # TLS's own errors are OSErrors
        said = (getattr(error, "reason", None) or error.strerror or f"{error}").replace("_", " ").lower()
        raise SettingsError([f"{PREFIX}{name}: cannot be used: {said} ({cure})"]) from error


def _revealed(secret: SecretStr | None) -> str:
    """Return the content of *secret*, without the line break at the end of a file."""
    return secret.get_secret_value().rstrip("\r\n") if secret is not None else ""
