"""Settings: environment variables AUTOSCALER_…, files in /run/secrets, and command-line options, which win.

An empty variable counts as not set. A misspelt name is an error, and so is everything else that is wrong: all at once,
each with the name under which it was given.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from autoscaler.durations import Duration, words
from autoscaler.errors import SettingsError
from autoscaler.queries import SERVICE_LABEL, TASK_LABEL, problems_of_label, problems_of_selector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

PREFIX = "AUTOSCALER_"
SECRETS = Path("/run/secrets")
"""Where Docker puts the secrets of a service."""

_LARGEST_SECRET = 64 * 2**10
_HIGHEST_PORT = 65535
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")
_NEAR = 0.85
"""How near an unknown secret's name must be to a setting's to be a misspelling: others may be there for other uses."""


# What the texts mean


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    meant = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(str(value).lower())
    if meant is None:
        raise ValueError(f"{value!r} is neither true nor false (write true or false)")
    return meant


def _some_time(seconds: int) -> int:
    if seconds < 1:
        raise ValueError("0s is no time (write 1s or more)")
    return seconds


def _http_url(value: str) -> str:
    """*value* without a slash at its end. The messages do not repeat it, for it may hold a password."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value):
        raise ValueError("is no URL of a server (write http://HOST:PORT or https://HOST)")
    if parts.query or parts.fragment:
        raise ValueError("holds a ? or # (write only http://HOST:PORT/PATH)")
    return value.rstrip("/")


def _docker_host(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"tcp", "http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable or (parts.scheme == "unix" and bool(parts.path))
    except ValueError:
        usable = False
    if not usable:
        cure = "write unix:///var/run/docker.sock or tcp://HOST:2375"
        raise ValueError(f"{value!r} is no address of a Docker engine ({cure})")
    return value


def _listen(value: str) -> str:
    split_address(value)
    return value


def split_address(value: str) -> tuple[str, int]:
    """The host and the port of ``host:port`` or ``[::1]:port``; raises ValueError where it is neither."""
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _HIGHEST_PORT:
        raise ValueError(f"{value!r} has no port (write 127.0.0.1:9595, or [::1]:9595)")
    if not host:
        raise ValueError(f"{value!r} has no host (write 0.0.0.0:{port} for all, or 127.0.0.1:{port})")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed and _IPV6.fullmatch(host[1:-1]):
        return host[1:-1], int(port)
    if not bracketed and ":" in host:
        raise ValueError(f"{value!r} is ambiguous (write an IPv6 address in brackets, like [::1]:9595)")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is no host (write an address or a name, like 127.0.0.1:9595)")
    return host, int(port)


def _readable(value: str) -> str:
    try:
        Path(value).open("rb").close()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{value!r} cannot be read: {said} (name a PEM file that the autoscaler may read)") from error
    return value


def _headers(value: object) -> object:
    """``Name=value;Name=value`` as a mapping. The messages repeat no value, for it may be a secret."""
    if not isinstance(value, str):
        return value
    headers: dict[str, str] = {}
    for number, part in enumerate(filter(None, (part.strip() for part in re.split(r"[;\n]", value))), 1):
        name, equals, text = (half.strip() for half in part.partition("="))
        if not equals or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"header {number} has no name (write Name=value;Name=value, like X-Scope-OrgID=tenant)")
        if name.lower() in map(str.lower, headers):
            raise ValueError(f"the header {name} is given twice (keep one of the two)")
        if not text:
            raise ValueError(f"the header {name} is empty (give it a value, or leave it out)")
        headers[name] = text
    for name, text in headers.items():
        if not _is_header_value(text):
            raise ValueError(f"the header {name} holds a character that no header may (use printable ASCII)")
    return headers


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _token(value: SecretStr) -> SecretStr:
    if not _is_header_value(value.get_secret_value()):
        raise ValueError("holds a character that no header may (use printable ASCII, without a line break)")
    return value


def _selector(value: str) -> str:
    problem = problems_of_selector(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _label(value: str) -> str:
    problem = problems_of_label(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_Truth = Annotated[bool, BeforeValidator(_truth)]
_Time = Annotated[Duration, AfterValidator(_some_time)]
_File = Annotated[str, AfterValidator(_readable)]
_Headers = Annotated[dict[str, SecretStr], BeforeValidator(_headers)]
_LabelName = Annotated[str, AfterValidator(_label)]


# The settings


class Settings(BaseSettings):
    """What the daemon and the commands need to know beside the policies. `Settings.read` makes them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    prometheus_url: Annotated[str, AfterValidator(_http_url)] = Field(default="http://prometheus:9090", repr=False)
    """Where Prometheus is, or any server with its HTTP API (Mimir, Thanos, VictoriaMetrics), path included."""
    prometheus_username: str = ""
    """The user for basic authentication; goes with the password."""
    prometheus_password: SecretStr | None = None
    """The password for basic authentication; best as the secret `autoscaler_prometheus_password`."""
    prometheus_bearer_token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    """A bearer token, instead of user and password; best as the secret `autoscaler_prometheus_bearer_token`."""
    prometheus_ca_file: _File = ""
    """A PEM file with the authorities that vouch for Prometheus' certificate; the system's where it is not set."""
    prometheus_cert_file: _File = ""
    """A PEM file with a client certificate to show to Prometheus."""
    prometheus_key_file: _File = ""
    """A PEM file with the key of the client certificate; not needed where the certificate's file holds it."""
    prometheus_headers: _Headers = Field(default_factory=dict)
    """Headers to send along, as `Name=value;Name=value`, such as `X-Scope-OrgID=tenant`; their values are secrets."""
    prometheus_timeout: _Time = 10
    """How long Prometheus may take for one answer."""
    docker_host: Annotated[str, AfterValidator(_docker_host)] = "unix:///var/run/docker.sock"
    """The engine of a Swarm manager; without this setting, `DOCKER_HOST` counts."""
    policies: Path = Path("policies/")
    """A policy file, or a directory of `*.yml` and `*.yaml` files."""
    interval: _Time = 15
    """The time between two evaluations."""
    scrape_interval: _Time = 15
    """How often Prometheus scrapes cAdvisor: the real interval, for windows and the built-in queries follow from it."""
    rate_window: _Time = Field(default_factory=lambda data: 4 * data.get("scrape_interval", 15))
    """Over how long the built-in `cpu` measures its rate; by default four scrape intervals, two at least."""
    warmup: Duration = Field(default_factory=lambda data: 3 * data.get("scrape_interval", 15) + 15)
    """How long a task runs before its samples count; by default three scrape intervals and 15 seconds."""
    metric_selector: Annotated[str, AfterValidator(_selector)] = ""
    """Label matchers for the built-in queries, such as `job="cadvisor",cluster="prod"`."""
    service_label: _LabelName = SERVICE_LABEL
    """The label of cAdvisor's series that carries the name of the Swarm service."""
    task_label: _LabelName = TASK_LABEL
    """The label of cAdvisor's series that carries the name of the Swarm task."""
    dry_run: _Truth = False
    """Whether to decide and log only, and to write nothing to Swarm."""
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9595"
    """The address for the status page, the API and the metrics, as `host:port` or `[::1]:port`."""
    log_format: Annotated[Literal["auto", "console", "json"], BeforeValidator(_lower)] = "auto"
    """How log lines look; `auto` is console on a terminal, else JSON."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    """The least severe log lines that are written."""

    secret_fields: ClassVar = frozenset(
        {"prometheus_url", "prometheus_password", "prometheus_bearer_token", "prometheus_headers"}
    )
    """Settings whose values no message may repeat."""

    @property
    def window_step(self) -> int:
        """The larger of the evaluation interval and the scrape interval, in seconds."""
        return max(self.interval, self.scrape_interval)

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of `listen`; an IPv6 address without its brackets."""
        return split_address(self.listen)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `read` passes: nothing comes from this process's environment behind its back."""
        return (init_settings,)

    @classmethod
    def read(
        cls, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None, secrets: Path = SECRETS
    ) -> Self:
        """The settings of *overrides* (by field, None means not given), else *environ*, else the files in *secrets*.

        Raises SettingsError with all problems.
        """
        given, problems = _given(environ, overrides or {}, secrets)
        values = {name: item.value for name, item in given.items()}
        wrong: set[str] = set()
        try:
            settings = cls(**values)
        except ValidationError as error:
            details = [item for item in error.errors(include_url=False) if item["type"] != "default_factory_not_called"]
            wrong = {str(item["loc"][0]) for item in details}
            problems.extend(_problem(item, given) for item in details)
            settings = cls(**{name: value for name, value in values.items() if name not in wrong})
        problems.extend(problem for fields, problem in settings._inconsistencies() if wrong.isdisjoint(fields))
        if problems:
            raise SettingsError(sorted(set(problems)))
        return settings

    def _inconsistencies(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Settings that are right by themselves and wrong together: their names, and the problem in words."""
        yield from self._odd_credentials()
        prometheus = f"{PREFIX}PROMETHEUS"
        if self.prometheus_key_file and not self.prometheus_cert_file:
            problem = f"{prometheus}_KEY_FILE: has no certificate to it (set {prometheus}_CERT_FILE)"
            yield ("prometheus_key_file", "prometheus_cert_file"), problem
        if self.rate_window < 2 * self.scrape_interval:
            problem = (
                f"{PREFIX}RATE_WINDOW: {words(self.rate_window)} often holds less than the two samples that a rate "
                f"takes (write {words(2 * self.scrape_interval)} or more, or correct {PREFIX}SCRAPE_INTERVAL)"
            )
            yield ("rate_window", "scrape_interval"), problem
        if self.service_label == self.task_label:
            problem = f"{PREFIX}TASK_LABEL: is the service's label too (name the label that carries the task)"
            yield ("service_label", "task_label"), problem

    def _odd_credentials(self) -> Iterator[tuple[tuple[str, ...], str]]:
        prometheus = f"{PREFIX}PROMETHEUS"
        url, user, password, token = (f"prometheus_{name}" for name in ("url", "username", "password", "bearer_token"))
        in_url = urlsplit(self.prometheus_url).username
        signed_in = bool(in_url or self.prometheus_username)
        if in_url and self.prometheus_username:
            yield (url, user), f"{prometheus}_USERNAME: the URL holds a user too (give one of the two)"
        if self.prometheus_password is not None and not self.prometheus_username:
            yield (user, password), f"{prometheus}_PASSWORD: has no user to it (set {prometheus}_USERNAME)"
        if self.prometheus_username and self.prometheus_password is None:
            problem = f"{prometheus}_USERNAME: has no password to it (set {prometheus}_PASSWORD, best as a secret)"
            yield (user, password), problem
        if self.prometheus_bearer_token is not None and signed_in:
            yield (url, user, token), f"{prometheus}_BEARER_TOKEN: is set beside a user (give the token or the user)"
        if "authorization" in map(str.lower, self.prometheus_headers) and (signed_in or self.prometheus_bearer_token):
            problem = f"{prometheus}_HEADERS: holds Authorization beside a user or a token (give one of them)"
            yield (url, user, token, "prometheus_headers"), problem


# Where settings come from


class _Given(NamedTuple):
    """A setting's text, and the name under which it was given."""

    value: Any
    source: str


def _given(
    environ: Mapping[str, str], overrides: Mapping[str, Any], secrets: Path
) -> tuple[dict[str, _Given], list[str]]:
    """Each setting that is given, from the source that wins, and the problems of names and files."""
    known = set(Settings.model_fields)
    from_environ, problems = _from_environ(environ, known)
    options = {
        name: _Given(value, f"--{name.replace('_', '-')}") for name, value in overrides.items() if value is not None
    }
    chosen = {**from_environ, **options}
    files = {str(item.value) for item in chosen.values()}
    from_files, found = _from_files(secrets, known, files)
    return {**from_files, **chosen}, [*problems, *found]


def _from_environ(environ: Mapping[str, str], known: set[str]) -> tuple[dict[str, _Given], list[str]]:
    given: dict[str, _Given] = {}
    problems = []
    if environ.get("DOCKER_HOST"):
        given["docker_host"] = _Given(environ["DOCKER_HOST"], "DOCKER_HOST")
    for variable, value in sorted(environ.items()):
        if not variable.upper().startswith(PREFIX):
            continue
        name = variable.upper().removeprefix(PREFIX).lower()
        if name not in known:
            problems.append(f"{variable}: is no setting ({_nearest(name, known)})")
        elif value:
            given[name] = _Given(value, variable)
    return given, problems


def _nearest(name: str, known: set[str]) -> str:
    near = get_close_matches(name[:60], sorted(known), n=1)
    if near:
        return f"did you mean {PREFIX}{near[0].upper()}?"
    return f"remove it; the settings are {', '.join(PREFIX + field.upper() for field in Settings.model_fields)}"


def _from_files(secrets: Path, known: set[str], used: set[str]) -> tuple[dict[str, _Given], list[str]]:
    """The settings that files of *secrets* hold, and what cannot be read or is misspelt; *used* are named elsewhere."""
    given: dict[str, _Given] = {}
    problems = []
    try:
        files = sorted(secrets.iterdir()) if secrets.is_dir() else []
    except OSError as error:
        return {}, [f"{secrets}: cannot be read: {error.strerror} (let the autoscaler's user read it)"]
    for file in files:
        name = file.name.lower().removeprefix(PREFIX.lower())
        if not file.name.lower().startswith(PREFIX.lower()):
            continue
        if name in known:
            text, problem = _secret(file)
            problems.extend([problem] if problem else [])
            if text:
                given[name] = _Given(text, str(file))
        elif str(file) not in used and (near := get_close_matches(name, sorted(known), n=1, cutoff=_NEAR)):
            problems.append(f"{file}: is no setting (did you mean {PREFIX.lower()}{near[0]}?)")
    return given, problems


def _secret(file: Path) -> tuple[str, str | None]:
    """The file's text without blanks at its ends, and why it cannot be read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_SECRET + 1)
        text = content.decode()
    except OSError as error:
        return "", f"{file}: cannot be read: {error.strerror} (let the autoscaler's user read it)"
    except UnicodeDecodeError:
        return "", f"{file}: is no UTF-8 text (write it anew as text)"
    if len(content) > _LARGEST_SECRET:
        return "", f"{file}: is larger than {_LARGEST_SECRET} bytes (a secret is a short text)"
    return text.strip(), None


# Problems in words


def _problem(details: ErrorDetails, given: Mapping[str, _Given]) -> str:
    """One of pydantic's errors as ``NAME: what is wrong (what would be right)``; no secret's value is in it."""
    said = str(details.get("ctx", {}).get("error", details["msg"]))
    name = str(details["loc"][0])
    source = given[name].source if name in given else f"{PREFIX}{name.upper()}"
    if details["type"] == "value_error":
        return f"{source}: {said}"
    value = "the value" if name in Settings.secret_fields else repr(given[name].value) if name in given else "it"
    return f"{source}: {value} is not right ({said.replace('Input should', 'it should')})"
