"""Settings: environment variables AUTOSCALER_…, files in /run/secrets, and command-line options, which win.

pydantic-settings reads them; an empty variable counts as not set. A misspelt name is an error, and so is everything
else that is wrong: all at once, each with the name under which it was given.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from autoscaler.errors import SettingsError
from autoscaler.metrics.queries import SERVICE_LABEL, TASK_LABEL, problems_of_label, problems_of_selector
from autoscaler.util.addresses import DEFAULT_LISTEN, split_address
from autoscaler.util.durations import Duration, SomeTime, words
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PREFIX = "AUTOSCALER_"
SECRETS = Path("/run/secrets")
"""Where Docker puts the secrets of a service."""

_LARGEST_SECRET = 64 * 2**10
_SHORTEST_TOKEN = 20
"""Characters: too many to be guessed over HTTP."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
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


def _http_url(value: str) -> str:
    """*value* without a slash at its end. The messages do not repeat it, for it may hold a password."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value):
        raise ValueError("is not a URL of a server (write http://HOST:PORT or https://HOST)")
    if parts.query or parts.fragment:
        raise ValueError("holds a ? or # (write only http://HOST:PORT/PATH)")
    return value.rstrip("/")


def without_credentials(url: str) -> str:
    """Return *url* without a user and a password, as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _docker_host(value: str) -> str:
    if "@" in value:  # the message does not repeat it, for it may hold a password
        raise ValueError("holds a user, and an engine asks for none (write tcp://HOST:2375, without user and password)")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"tcp", "http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable or (parts.scheme == "unix" and bool(parts.path))
    except ValueError:
        usable = False
    if not usable:
        cure = "write unix:///var/run/docker.sock or tcp://HOST:2375"
        raise ValueError(f"{value!r} is not an address of a Docker engine ({cure})")
    return value


def _listen(value: str) -> str:
    split_address(value)
    return value


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
    text = value.get_secret_value()
    if not _is_header_value(text):
        raise ValueError("holds a character that no header may (use printable ASCII, without a line break)")
    if text != text.strip():
        raise ValueError("begins or ends with a blank (write the token alone)")
    return value


def _own_token(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _SHORTEST_TOKEN:
        raise ValueError(f"has fewer than {_SHORTEST_TOKEN} characters (make one: openssl rand -hex 32)")
    return _token(value)


def _without(problem_of: Callable[[str], str | None]) -> AfterValidator:
    """Refuses a text of which *problem_of* says that something is wrong."""

    def checked(value: str) -> str:
        if (problem := problem_of(value)) is not None:
            raise ValueError(problem)
        return value

    return AfterValidator(checked)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_Truth = Annotated[bool, BeforeValidator(_truth)]
_File = Annotated[str, AfterValidator(_readable)]
_Headers = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_headers)]
_LabelName = Annotated[str, _without(problems_of_label)]


# The settings


class Settings(BaseSettings):
    """What the daemon and the commands need to know beside the policies. `Settings.read` makes them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    prometheus_url: Annotated[str, AfterValidator(_http_url)] = Field(default="http://prometheus:9090", repr=False)
    """The URL of Prometheus, or of a server with its HTTP API (Mimir, Thanos, VictoriaMetrics), with the path."""
    prometheus_username: str = ""
    """The user for basic authentication. The password is needed too."""
    prometheus_password: SecretStr | None = None
    """The password for basic authentication. Give it as the secret `autoscaler_prometheus_password` if you can."""
    prometheus_bearer_token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    """A bearer token, instead of user and password. Give it as the secret `autoscaler_prometheus_bearer_token` if you
    can."""
    prometheus_ca_file: _File = ""
    """A PEM file with the authorities that may sign Prometheus' certificate. By default the system's are used."""
    prometheus_cert_file: _File = ""
    """A PEM file with the client certificate that Prometheus asks for."""
    prometheus_key_file: _File = ""
    """A PEM file with the key of the client certificate. It is not needed if the certificate's file holds the key."""
    prometheus_headers: _Headers = Field(default_factory=dict)
    """Headers to send with each request, as `Name=value;Name=value`, such as `X-Scope-OrgID=tenant`. Their values are
    treated as secrets."""
    prometheus_timeout: SomeTime = 10
    """The longest time that Prometheus may take for one answer."""
    docker_host: Annotated[str, AfterValidator(_docker_host)] = Field(
        default="unix:///var/run/docker.sock", validation_alias=AliasChoices("autoscaler_docker_host", "docker_host")
    )
    """The address of a Swarm manager's engine. Without this setting `DOCKER_HOST` is used."""
    policies: Path = Path("policies/")
    """A policy file, or a directory of `*.yml` and `*.yaml` files."""
    interval: SomeTime = 15
    """The time between two evaluations."""
    scrape_interval: SomeTime = 15
    """The interval at which Prometheus really scrapes cAdvisor. Windows and the built-in queries follow from it."""
    rate_window: SomeTime = Field(default_factory=lambda data: 4 * data.get("scrape_interval", 15))
    """The time over which the built-in `cpu` measures its rate: four scrape intervals by default, and at least two."""
    warmup: Duration = Field(default_factory=lambda data: 3 * data.get("scrape_interval", 15) + 15)
    """The time that a task must run before its samples count: by default three scrape intervals and 15 seconds."""
    metric_selector: Annotated[str, _without(problems_of_selector)] = ""
    """Label matchers for the built-in queries, such as `job="cadvisor",cluster="prod"`."""
    service_label: _LabelName = SERVICE_LABEL
    """The label of cAdvisor's series that carries the name of the Swarm service."""
    task_label: _LabelName = TASK_LABEL
    """The label of cAdvisor's series that carries the name of the Swarm task."""
    dry_run: _Truth = False
    """Decide and log only, and write nothing to Swarm."""
    listen: Annotated[str, AfterValidator(_listen)] = DEFAULT_LISTEN
    """The address for the API, the health and the metrics, as `host:port` or `[::1]:port`."""
    http_token: Annotated[SecretStr, AfterValidator(_own_token)] | None = None
    """The token that HTTP requests must send to reload, pause or resume. Give it as the secret `autoscaler_http_token`
    if you can. Without a token such requests are refused."""
    history: SomeTime = 24 * 3600
    """The time for which it is kept what happened: changes, holds, problems, pauses, policies and leaders."""
    state_dir: Path | None = None
    """A folder for the history, so that it survives a restart. Each autoscaler needs a folder of its own, on a local
    disk. Without this setting the history is in memory."""
    log_format: Annotated[Literal["auto", "console", "json"], BeforeValidator(_lower)] = "auto"
    """The format of log lines. `auto` is `console` on a terminal and `json` elsewhere."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    """The lowest severity that is logged."""

    @property
    def window_step(self) -> int:
        """The larger of the evaluation interval and the scrape interval, in seconds."""
        return max(self.interval, self.scrape_interval)

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of `listen`; an IPv6 address without its brackets."""
        return split_address(self.listen)

    @classmethod
    def read(cls, options: Mapping[str, Any] | None = None, secrets: Path = SECRETS) -> Self:
        """The settings of *options* (by field, None means not given), the environment and the files in *secrets*.

        The first of them that gives a setting wins. Raises SettingsError with all problems; files that cannot be read
        come first, for without them what else is missing cannot be told.
        """
        given = {name: value for name, value in (options or {}).items() if value is not None}
        files, unreadable = _files(secrets)
        problems = [*unreadable, *_misspelt(given, files)]
        if not unreadable:
            try:
                settings = cls(_secrets_dir=secrets if files else None, **given)
            except ValidationError as error:
                problems.extend(_in_words(error, _origins(given, files)))
        if problems:
            raise SettingsError(sorted(set(problems)))
        return settings

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, values: dict[str, Any], handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Look at what does not go together even where single settings are wrong, so that an error tells of all."""
        found: list[Any] = []
        wrong: set[int | str] = set()
        try:
            settings = handler(values)
        except ValidationError as error:
            found = error.errors(include_url=False)
            wrong = {item["loc"][0] for item in found}
            settings = handler({name: value for name, value in values.items() if name not in wrong})
        for names, problem in _inconsistencies(settings):
            if wrong.isdisjoint(names):
                found.append({"type": "value_error", "loc": names[:1], "ctx": {"error": ValueError(problem)}})
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return settings


def _inconsistencies(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Settings that are right by themselves and wrong together: their names, that to be told of first; and why."""
    yield from _odd_credentials(settings)
    if settings.prometheus_key_file and not settings.prometheus_cert_file:
        problem = f"has no certificate (set {PREFIX}PROMETHEUS_CERT_FILE)"
        yield ("prometheus_key_file", "prometheus_cert_file"), problem
    if settings.rate_window < 2 * settings.scrape_interval:
        problem = (
            f"{words(settings.rate_window)} often holds less than the two samples that a rate takes "
            f"(write {words(2 * settings.scrape_interval)} or more, or correct {PREFIX}SCRAPE_INTERVAL)"
        )
        yield ("rate_window", "scrape_interval"), problem
    if settings.service_label == settings.task_label:
        yield ("task_label", "service_label"), "is the service's label too (name the label that carries the task)"


def _odd_credentials(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    url, user, password = "prometheus_url", "prometheus_username", "prometheus_password"
    token, headers = "prometheus_bearer_token", "prometheus_headers"
    in_url = urlsplit(settings.prometheus_url).username
    signed_in = bool(in_url or settings.prometheus_username)
    if in_url and settings.prometheus_username:
        yield (user, url), "the URL holds a user too (give one of the two)"
    if settings.prometheus_password is not None and not settings.prometheus_username:
        yield (password, user), f"has no user (set {PREFIX}PROMETHEUS_USERNAME)"
    if settings.prometheus_username and settings.prometheus_password is None:
        yield (user, password), f"has no password (set {PREFIX}PROMETHEUS_PASSWORD, best as a secret)"
    if settings.prometheus_bearer_token is not None and signed_in:
        yield (token, url, user), "is set beside a user (give the token or the user)"
    beside = signed_in or settings.prometheus_bearer_token is not None
    if beside and "authorization" in map(str.lower, settings.prometheus_headers):
        yield (headers, url, user, token), "holds Authorization beside a user or a token (give one of them)"


# Names and files

_NAMES = {"docker_host": "docker_host"} | {f"{PREFIX}{name}".lower(): name for name in Settings.model_fields}
"""The settings by what variables and files that give them are called, in lower case; the later name wins."""


def _files(secrets: Path) -> tuple[list[Path], list[str]]:
    """The files in *secrets*, none where there is no such folder, and what keeps those of settings from being read."""
    try:
        files = sorted(secrets.iterdir()) if secrets.is_dir() else []
    except OSError as error:
        return [], [f"{secrets}: cannot be read: {error.strerror} (let the autoscaler's user read it)"]
    wrong = ((file, _wrong_with(file)) for file in files if file.name.lower() in _NAMES)
    return files, [f"{file}: {problem}" for file, problem in wrong if problem]


def _wrong_with(file: Path) -> str:
    """Why pydantic-settings could not read the *file*, or would leave it out with a mere warning."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_SECRET + 1)
        text = content.decode()
    except OSError as error:
        return f"cannot be read: {error.strerror} (let the autoscaler's user read it)"
    except UnicodeDecodeError:
        return "is not UTF-8 text (save it with the encoding UTF-8)"
    if len(content) > _LARGEST_SECRET:
        return f"is larger than {_LARGEST_SECRET} bytes (a secret is a short text)"
    if not text.strip():
        return "is empty (write the secret into it, or leave it out)"
    if file.parent.resolve() not in file.resolve().parents:
        return "is a link to another folder (put the file itself there)"
    return ""


def _misspelt(options: Mapping[str, Any], files: list[Path]) -> Iterator[str]:
    """Variables that are named like settings, and files that are named nearly like them and that no setting names."""
    for variable in os.environ:
        name = variable.lower().removeprefix(PREFIX.lower())
        if variable.upper().startswith(PREFIX) and name not in Settings.model_fields:
            near = nearest(name, Settings.model_fields)
            every = ", ".join(PREFIX + known.upper() for known in Settings.model_fields)
            cure = f"did you mean {PREFIX}{near.upper()}?" if near else f"remove it; the settings are {every}"
            yield f"{variable}: is not a setting ({cure})"
    used = {str(value) for value in (*os.environ.values(), *options.values())}
    for file in files:
        name = file.name.lower().removeprefix(PREFIX.lower())
        unknown = file.name.upper().startswith(PREFIX) and name not in Settings.model_fields and str(file) not in used
        if unknown and (near := nearest(name, Settings.model_fields, likeness=_NEAR)):
            yield f"{file}: is not a setting (did you mean {PREFIX.lower()}{near}?)"


# Problems in words


def _origins(options: Mapping[str, Any], files: list[Path]) -> dict[str, str]:
    """Where each setting is given, or the variable that would give it."""
    variables = {variable.lower(): variable for variable, value in os.environ.items() if value}
    paths = {file.name.lower(): str(file) for file in files}
    return (
        {name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
        | {name: paths[called] for called, name in _NAMES.items() if called in paths}
        | {name: variables[called] for called, name in _NAMES.items() if called in variables}
        | {name: f"--{name.replace('_', '-')}" for name in options}
    )


def _in_words(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    """Pydantic's errors as ``NAME: what is wrong (what would be right)``; no secret's value is in them."""
    for item in error.errors(include_url=False):
        name = str(item["loc"][0])
        said = str(item.get("ctx", {}).get("error", item["msg"]))
        if item["type"] == "default_factory_not_called":
            continue  # it needs another setting, which is wrong
        if item["type"] != "value_error":
            value = repr(item["input"]) if item["type"] == "literal_error" else "it"
            said = f"{value} is not right ({said.replace('Input should', 'it should')})"
        yield f"{origins[_NAMES.get(name, name)]}: {said}"
