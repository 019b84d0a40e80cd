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
    """Where Prometheus is and how to be let in, as `Settings` found it valid. Its representation holds no secret."""

    url: str = field(repr=False)
    """With user and password in it, if need be."""
    username: str = ""
    password: SecretStr | None = None
    bearer_token: SecretStr | None = None
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    """How many seconds one read may take."""

    @property
    def address(self) -> str:
        """The URL without user and password."""
        return self._parts._replace(netloc=self._parts.netloc.rpartition("@")[2]).geturl().rstrip("/")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, from the settings or else the URL; None where there are none."""
        if self.username:
            return self.username, _revealed(self.password)
        if self._parts.username:
            return unquote(self._parts.username), unquote(self._parts.password or "")
        return None

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers to send along, the bearer token's among them."""
        token = {"Authorization": f"Bearer {_revealed(self.bearer_token)}"} if self.bearer_token is not None else {}
        return {**self.headers, **token}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text of four characters or more that must not be shown, the longest first."""
        user, password = self.credentials or ("", "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password else ""
        texts = {password, basic, _revealed(self.bearer_token), *self.headers.values()}
        return tuple(sorted((text for text in texts if len(text) >= _SHORTEST_SECRET), key=len, reverse=True))

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)


def check_certificates(connection: ConnectionSettings) -> None:
    """Raise SettingsError where a certificate's file cannot be used; requests would fail at each query, naming none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name, cure = "CA_FILE", "name a PEM file with the authority's certificate"
    try:
        if connection.ca_file:
            context.load_verify_locations(connection.ca_file)
        name, cure = "CERT_FILE", f"name a PEM file with certificate and key, or give the key as {PREFIX}KEY_FILE"
        if connection.cert_file:
            # With a password, however wrong, so that an encrypted key is an error and no prompt.
            context.load_cert_chain(connection.cert_file, connection.key_file or None, password="-")  # noqa: S106 - no secret
    except OSError as error:  # TLS's own errors are OSErrors
        said = (getattr(error, "reason", None) or error.strerror or f"{error}").replace("_", " ").lower()
        raise SettingsError([f"{PREFIX}{name}: cannot be used: {said} ({cure})"]) from error


def _revealed(secret: SecretStr | None) -> str:
    """What *secret* hides, without the line break that files end in."""
    return secret.get_secret_value().rstrip("\r\n") if secret is not None else ""
