from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from autoscaler.errors import SettingsError
from autoscaler.settings import Settings
from autoscaler.util.addresses import split_address

NO_SECRETS = Path("/nonexistent/secrets")


def read_from(environ: dict[str, str], options: dict[str, Any] | None = None, secrets: Path = NO_SECRETS) -> Settings:
    """The settings of a process with this environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environ)
        return Settings.read(options, secrets)


def settings(options: dict[str, Any] | None = None, secrets: Path = NO_SECRETS, **environ: str) -> Settings:
    """The settings of an environment, its names without `AUTOSCALER_`."""
    return read_from({f"AUTOSCALER_{name}": value for name, value in environ.items()}, options, secrets)


def problems(options: dict[str, Any] | None = None, secrets: Path = NO_SECRETS, **environ: str) -> list[str]:
    """What is wrong with an environment, its names without `AUTOSCALER_`."""
    with pytest.raises(SettingsError) as caught:
        settings(options, secrets, **environ)
    return [problem.removeprefix("AUTOSCALER_") for problem in caught.value.problems]


# Defaults


def test_without_any_setting_the_defaults_of_the_specification_hold() -> None:
    """The defaults of the specification hold, with the Prometheus and the socket that a stack has."""
    read = read_from({})
    assert read.prometheus_url == "http://prometheus:9090"
    assert read.docker_host == "unix:///var/run/docker.sock"
    assert read.policies == Path("policies/")
    assert (read.interval, read.scrape_interval, read.rate_window, read.warmup) == (15, 15, 60, 60)
    assert (read.prometheus_timeout, read.dry_run, read.log_format, read.log_level) == (10, False, "auto", "info")
    assert read.listen_address == ("127.0.0.1", 9595)
    assert read.service_label == "container_label_com_docker_swarm_service_name"
    assert read.task_label == "container_label_com_docker_swarm_task_name"


def test_the_rate_window_and_the_warm_up_follow_from_the_scrape_interval() -> None:
    """RATE_WINDOW (4 x scrape), WARMUP (3 x scrape + 15s), unless they are given."""
    read = settings(SCRAPE_INTERVAL="1m")
    assert (read.rate_window, read.warmup) == (240, 195)
    read = settings(SCRAPE_INTERVAL="1m", RATE_WINDOW="5m", WARMUP="0s")
    assert (read.rate_window, read.warmup) == (300, 0)


@pytest.mark.parametrize(("interval", "scrape", "step"), [("15s", "30s", 30), ("1m", "15s", 60), ("20s", "20s", 20)])
def test_the_window_step_is_the_larger_of_the_two_intervals(interval: str, scrape: str, step: int) -> None:
    """Window step: the larger of the evaluation interval and the scrape interval."""
    assert step == settings(INTERVAL=interval, SCRAPE_INTERVAL=scrape).window_step


def test_every_setting_has_a_docstring() -> None:
    """The documentation is made of them."""
    for name, field in Settings.model_fields.items():
        assert field.description, name


# Sources


def test_an_option_beats_the_environment_which_beats_a_secret(tmp_path: Path) -> None:
    """Environment, `/run/secrets` files for secrets, command-line options win."""
    (tmp_path / "autoscaler_interval").write_text("1m")
    assert settings(secrets=tmp_path).interval == 60
    assert settings(secrets=tmp_path, INTERVAL="2m").interval == 120
    assert settings({"interval": "3m"}, tmp_path, INTERVAL="2m").interval == 180


def test_an_option_that_is_not_given_does_not_count() -> None:
    """None means that the command line has not said."""
    assert settings({"interval": None, "dry_run": None}, INTERVAL="2m", DRY_RUN="yes").dry_run is True


def test_a_secret_is_a_file_without_the_blanks_at_its_ends(tmp_path: Path) -> None:
    """`echo password | docker secret create` leaves a line break."""
    (tmp_path / "autoscaler_prometheus_password").write_text(" s3cret \n")
    (tmp_path / "autoscaler_prometheus_username").write_text("bob\n")
    (tmp_path / "somebody_else_s").write_bytes(b"\xff")
    read = settings(secrets=tmp_path)
    assert read.prometheus_password == SecretStr("s3cret")
    assert read.prometheus_username == "bob"


def test_the_token_is_a_secret(tmp_path: Path) -> None:
    """What lets others change something over HTTP comes as a file, and is not shown."""
    (tmp_path / "autoscaler_http_token").write_text("0123456789-abcdefghi\n")
    read = settings(secrets=tmp_path)
    assert read.http_token == SecretStr("0123456789-abcdefghi")
    assert "abcdefghi" not in f"{read!r} {read}"
    assert settings().http_token is None


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("x" * 19, "has fewer than 20 characters (make one: openssl rand -hex 32)"),
        ("x" * 20 + "\n" + "x", "holds a character that no header may (use printable ASCII, without a line break)"),
        ("x" * 20 + "ü", "holds a character that no header may (use printable ASCII, without a line break)"),
        (" " + "x" * 20, "begins or ends with a blank (write the token alone)"),
    ],
)
def test_a_token_that_could_be_guessed_or_not_be_sent(token: str, problem: str) -> None:
    """A short token and one that no header can hold are errors, which do not repeat it."""
    assert problems(HTTP_TOKEN=token) == [f"HTTP_TOKEN: {problem}"]


def test_a_missing_folder_of_secrets_is_silent() -> None:
    """Not everybody uses secrets; pydantic-settings would warn."""
    assert settings().prometheus_password is None


def test_an_unreadable_secret_is_told(tmp_path: Path) -> None:
    """A secret that does not arrive must not look like one that was not given."""
    (tmp_path / "autoscaler_prometheus_password").mkdir()
    (tmp_path / "autoscaler_prometheus_bearer_token").write_bytes(b"\xff\xfe")
    (tmp_path / "autoscaler_prometheus_headers").write_text("x" * 70_000)
    assert [problem.replace(f"{tmp_path}/", "") for problem in problems(secrets=tmp_path)] == [
        "autoscaler_prometheus_bearer_token: is not UTF-8 text (save it with the encoding UTF-8)",
        "autoscaler_prometheus_headers: is larger than 65536 bytes (a secret is a short text)",
        "autoscaler_prometheus_password: cannot be read: Is a directory (let the autoscaler's user read it)",
    ]


def test_a_secret_without_a_text_and_a_link_elsewhere_are_told(tmp_path: Path) -> None:
    """pydantic-settings would take the one for a value, and leave out the other with a warning."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "text").write_text("x")
    (tmp_path / "secrets" / "autoscaler_prometheus_password").write_text(" \n")
    (tmp_path / "secrets" / "autoscaler_prometheus_username").symlink_to(tmp_path / "text")
    assert [problem.replace(f"{tmp_path}/secrets/", "") for problem in problems(secrets=tmp_path / "secrets")] == [
        "autoscaler_prometheus_password: is empty (write the secret into it, or leave it out)",
        "autoscaler_prometheus_username: is a link to another folder (put the file itself there)",
    ]


def test_what_does_not_go_together_is_told_where_it_was_given(tmp_path: Path) -> None:
    """A password that came as a file is looked for there."""
    (tmp_path / "autoscaler_prometheus_password").write_text("x")
    assert problems(secrets=tmp_path) == [
        f"{tmp_path}/autoscaler_prometheus_password: has no user (set AUTOSCALER_PROMETHEUS_USERNAME)"
    ]


def test_a_misspelt_secret_is_told_and_one_for_another_use_is_not(tmp_path: Path) -> None:
    """A certificate among the secrets is named by a setting; a password that nothing reads is a slip."""
    (tmp_path / "autoscaler_prometheus_ca").write_text("PEM")
    (tmp_path / "autoscaler_sentry").write_text("x")
    (tmp_path / "autoscaler_prometheus_pasword").write_text("hunter2")
    assert problems(secrets=tmp_path, PROMETHEUS_CA_FILE=str(tmp_path / "autoscaler_prometheus_ca")) == [
        f"{tmp_path}/autoscaler_prometheus_pasword: is not a setting (did you mean autoscaler_prometheus_password?)"
    ]


def test_an_empty_variable_counts_as_not_set() -> None:
    """As stack files write `${PROMETHEUS_PASSWORD:-}`."""
    assert settings(PROMETHEUS_PASSWORD="", INTERVAL="", DRY_RUN="") == settings()


def test_docker_host_counts_where_ours_is_not_set() -> None:
    """AUTOSCALER_DOCKER_HOST, else DOCKER_HOST, else the socket."""
    assert read_from({"DOCKER_HOST": "tcp://a:2375"}).docker_host == "tcp://a:2375"
    both = {"DOCKER_HOST": "tcp://a:2375", "AUTOSCALER_DOCKER_HOST": "tcp://b:2375"}
    assert read_from(both).docker_host == "tcp://b:2375"
    assert read_from({"DOCKER_HOST": ""}).docker_host == "unix:///var/run/docker.sock"


def test_a_wrong_docker_host_is_told_under_its_name() -> None:
    """The name under which the value was given."""
    with pytest.raises(SettingsError, match=r"^DOCKER_HOST: 'ssh://a' is not an address of a Docker engine"):
        read_from({"DOCKER_HOST": "ssh://a"})


def test_the_environment_is_the_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be passed in but the options."""
    monkeypatch.setenv("AUTOSCALER_INTERVAL", "99s")
    assert Settings.read(secrets=NO_SECRETS).interval == 99


def test_names_may_be_lower_case() -> None:
    """As pydantic-settings has it."""
    assert read_from({"autoscaler_interval": "1m"}).interval == 60


# Values


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "YES"])
def test_truth_values_are_true(text: str) -> None:
    """true, 1, yes."""
    assert settings(DRY_RUN=text).dry_run is True


@pytest.mark.parametrize("text", ["false", "FALSE", "0", "no"])
def test_truth_values_are_false(text: str) -> None:
    """false, 0, no."""
    assert settings(DRY_RUN=text).dry_run is False


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:9595", ("0.0.0.0", 9595)),  # noqa: S104 - a text
        ("[::1]:80", ("::1", 80)),
        ("[::]:0", ("::", 0)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("localhost:9595", ("localhost", 9595)),
        ("my-host.example:65535", ("my-host.example", 65535)),
    ],
)
def test_listen_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    """`host:port`, an IPv6 address in brackets."""
    assert address == settings(LISTEN=text).listen_address == split_address(text)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("X-Scope-OrgID=tenant", {"X-Scope-OrgID": "tenant"}),
        ("X-Scope-OrgID=a|b; Authorization = Basic YTpi==;", {"X-Scope-OrgID": "a|b", "Authorization": "Basic YTpi=="}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        (" ; ", {}),
    ],
)
def test_headers_are_names_and_values(text: str, headers: dict[str, str]) -> None:
    """`Name=value;Name=value`, or one on a line, as a secret's file may have it."""
    read = settings(PROMETHEUS_HEADERS=text)
    assert headers == {name: value.get_secret_value() for name, value in read.prometheus_headers.items()}


@pytest.mark.parametrize("url", ["http://a", "https://a:9090/prometheus/", "http://u:p@a", "http://[::1]:9090"])
def test_a_url_is_of_http(url: str) -> None:
    """Any Prometheus-compatible server, under any path."""
    assert url.rstrip("/") == settings(PROMETHEUS_URL=url).prometheus_url


@pytest.mark.parametrize("level", ["debug", "INFO", "Warning", "error"])
def test_a_log_level_is_a_word_in_any_case(level: str) -> None:
    """Levels are lower case once read."""
    assert level.lower() == settings(LOG_LEVEL=level).log_level


# Problems


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("INTERVAL", "15", "INTERVAL: 15 has no unit (write 15s for seconds or 15m for minutes)"),
        (
            "INTERVAL",
            "soon",
            "INTERVAL: 'soon' is not a duration (write whole seconds, minutes, hours, like 90s, 5m or 1h30m)",
        ),
        ("INTERVAL", "0s", "INTERVAL: 0s is too short (write 1s or more)"),
        ("SCRAPE_INTERVAL", "0s", "SCRAPE_INTERVAL: 0s is too short (write 1s or more)"),
        ("PROMETHEUS_TIMEOUT", "0s", "PROMETHEUS_TIMEOUT: 0s is too short (write 1s or more)"),
        ("DRY_RUN", "flase", "DRY_RUN: 'flase' is neither true nor false (write true or false)"),
        ("DRY_RUN", "on", "DRY_RUN: 'on' is neither true nor false (write true or false)"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: 'xml' is not right (it should be 'auto', 'console' or 'json')"),
        ("LOG_LEVEL", "5", "LOG_LEVEL: '5' is not right (it should be 'debug', 'info', 'warning' or 'error')"),
        ("LISTEN", "9595", "LISTEN: '9595' has no port (write 127.0.0.1:9595, or [::1]:9595)"),
        ("LISTEN", "a:70000", "LISTEN: 'a:70000' has no port (write 127.0.0.1:9595, or [::1]:9595)"),
        ("LISTEN", ":9595", "LISTEN: ':9595' has no host (write 0.0.0.0:9595 for all, or 127.0.0.1:9595)"),
        ("LISTEN", "::1:9595", "LISTEN: '::1:9595' is ambiguous (write an IPv6 address in brackets, like [::1]:9595)"),
        ("LISTEN", "a b:9595", "LISTEN: 'a b' is not a host (write an address or a name, like 127.0.0.1:9595)"),
        ("LISTEN", "[x]:9595", "LISTEN: '[x]' is not a host (write an address or a name, like 127.0.0.1:9595)"),
        (
            "DOCKER_HOST",
            "ssh://a",
            "DOCKER_HOST: 'ssh://a' is not an address of a Docker engine (write unix:///var/run/docker",
        ),
        (
            "DOCKER_HOST",
            "/var/run/docker.sock",
            "DOCKER_HOST: '/var/run/docker.sock' is not an address of a Docker engine",
        ),
        ("DOCKER_HOST", "http://[", "DOCKER_HOST: 'http://[' is not an address of a Docker engine"),
        (
            "PROMETHEUS_URL",
            "prometheus:9090",
            "PROMETHEUS_URL: is not a URL of a server (write http://HOST:PORT or https://",
        ),
        (
            "PROMETHEUS_URL",
            "http://a:x",
            "PROMETHEUS_URL: is not a URL of a server (write http://HOST:PORT or https://HOST)",
        ),
        ("PROMETHEUS_URL", "http://[", "PROMETHEUS_URL: is not a URL of a server"),
        ("PROMETHEUS_URL", "http://", "PROMETHEUS_URL: is not a URL of a server"),
        ("PROMETHEUS_URL", "http://a/?b=c", "PROMETHEUS_URL: holds a ? or # (write only http://HOST:PORT/PATH)"),
        (
            "PROMETHEUS_CA_FILE",
            "/nope",
            "PROMETHEUS_CA_FILE: '/nope' cannot be read: No such file or directory (name a PEM",
        ),
        ("PROMETHEUS_CA_FILE", "a\0b", "PROMETHEUS_CA_FILE: 'a\\x00b' cannot be read: embedded null byte (name a PEM"),
        (
            "PROMETHEUS_HEADERS",
            "tenant",
            "PROMETHEUS_HEADERS: header 1 has no name (write Name=value;Name=value, like X-S",
        ),
        (
            "PROMETHEUS_HEADERS",
            "A=b;B c=d",
            "PROMETHEUS_HEADERS: header 2 has no name (write Name=value;Name=value, like",
        ),
        ("PROMETHEUS_HEADERS", "A=", "PROMETHEUS_HEADERS: the header A is empty (give it a value, or leave it out)"),
        ("PROMETHEUS_HEADERS", "A=b;a=c", "PROMETHEUS_HEADERS: the header a is given twice (keep one of the two)"),
        (
            "PROMETHEUS_HEADERS",
            "A=ä",
            "PROMETHEUS_HEADERS: the header A holds a character that no header may (use printab",
        ),
        (
            "PROMETHEUS_BEARER_TOKEN",
            "a\nb",
            "PROMETHEUS_BEARER_TOKEN: holds a character that no header may (use printable",
        ),
        (
            "PROMETHEUS_BEARER_TOKEN",
            "a ",
            "PROMETHEUS_BEARER_TOKEN: begins or ends with a blank (write the token alone)",
        ),
        ("PROMETHEUS_PASSWORD", "x", "PROMETHEUS_PASSWORD: has no user (set AUTOSCALER_PROMETHEUS_USERNAME)"),
        (
            "PROMETHEUS_USERNAME",
            "x",
            "PROMETHEUS_USERNAME: has no password (set AUTOSCALER_PROMETHEUS_PASSWORD, bes",
        ),
        (
            "PROMETHEUS_KEY_FILE",
            __file__,
            "PROMETHEUS_KEY_FILE: has no certificate (set AUTOSCALER_PROMETHEUS_CERT_F",
        ),
        (
            "RATE_WINDOW",
            "29s",
            "RATE_WINDOW: 29s often holds less than the two samples that a rate takes (write 30s or mo",
        ),
        (
            "METRIC_SELECTOR",
            '{job="a"}',
            "METRIC_SELECTOR: the selector '{job=\"a\"}' needs a label name at character 1",
        ),
        (
            "SERVICE_LABEL",
            "a-b",
            "SERVICE_LABEL: 'a-b' is not a label name of Prometheus (letters, digits and _, no digit fi",
        ),
        (
            "SERVICE_LABEL",
            "container_label_com_docker_swarm_task_name",
            "TASK_LABEL: is the service's label too (name the label that carries the task)",
        ),
        ("INTERVALL", "15s", "INTERVALL: is not a setting (did you mean AUTOSCALER_INTERVAL?)"),
        (
            "PROMETHEUS_PASWORD",
            "15s",
            "PROMETHEUS_PASWORD: is not a setting (did you mean AUTOSCALER_PROMETHEUS_PASSWORD?)",
        ),
        ("XYZZY", "", "XYZZY: is not a setting (remove it; the settings are AUTOSCALER_PROMETHEUS_URL, AUTOSCALER_PR"),
    ],
)
def test_what_is_wrong_is_told_with_the_name_and_the_cure(name: str, value: str, problem: str) -> None:
    """Each problem names the variable, what is wrong and what would be right."""
    (found,) = problems(None, NO_SECRETS, **{name: value})
    assert problem == found[: len(problem)]
    assert found.endswith((")", "?)"))


def test_all_problems_are_told_at_once() -> None:
    """Those of single settings, of names, and of settings that do not go together."""
    found = problems(INTERVAL="x", DRY_RUN="x", LISTN="x", PROMETHEUS_PASSWORD="x", RATE_WINDOW="1s")  # noqa: S106 - no secret
    assert [problem.split(":")[0] for problem in found] == [
        *("DRY_RUN", "INTERVAL", "LISTN", "PROMETHEUS_PASSWORD", "RATE_WINDOW")
    ]


def test_a_wrong_setting_has_one_problem() -> None:
    """What follows from a wrong scrape interval is not told as well."""
    assert len(problems(SCRAPE_INTERVAL="x")) == len(problems(SCRAPE_INTERVAL="x", RATE_WINDOW="1s")) == 1


def test_an_option_is_told_by_its_name() -> None:
    """Whoever gave it on the command line looks for it there."""
    assert problems({"scrape_interval": "1"}) == [
        "--scrape-interval: 1 has no unit (write 1s for seconds or 1m for minutes)"
    ]


def test_ways_to_sign_in_do_not_go_together() -> None:
    """One of user, token and Authorization header."""
    user = {"PROMETHEUS_USERNAME": "u", "PROMETHEUS_PASSWORD": "p"}
    assert len(problems(None, NO_SECRETS, **user, PROMETHEUS_BEARER_TOKEN="t")) == 1  # noqa: S106 - no secret
    assert len(problems(None, NO_SECRETS, **user, PROMETHEUS_HEADERS="authorization=x")) == 1
    assert len(problems(PROMETHEUS_BEARER_TOKEN="t", PROMETHEUS_HEADERS="Authorization=x")) == 1  # noqa: S106 - likewise
    assert len(problems(PROMETHEUS_URL="http://a:b@c", PROMETHEUS_BEARER_TOKEN="t")) == 1  # noqa: S106 - likewise
    assert len(problems(None, NO_SECRETS, PROMETHEUS_URL="http://a:b@c", **user)) == 1


# Secrets


def test_no_secret_is_in_what_is_shown() -> None:
    """A secret never appears in repr."""
    read = settings(
        PROMETHEUS_URL="https://u:hunter2@a",
        PROMETHEUS_HEADERS="X-Key=hunter2",
    )
    other = settings(PROMETHEUS_BEARER_TOKEN="hunter2")  # noqa: S106 - a test's
    third = settings(PROMETHEUS_USERNAME="u", PROMETHEUS_PASSWORD="hunter2")  # noqa: S106 - likewise
    for shown in (repr(read), str(read), repr(other), str(other), repr(third), str(third)):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROMETHEUS_URL", "ftp://u:hunter2@a"),
        ("PROMETHEUS_URL", "http://u:hunter2@a:x"),
        ("PROMETHEUS_URL", "http://u:hunter2@a?b"),
        ("PROMETHEUS_BEARER_TOKEN", "hunter2\n"),
        ("PROMETHEUS_HEADERS", "hunter2"),
        ("PROMETHEUS_HEADERS", "A=hunter2\x00"),
        ("PROMETHEUS_HEADERS", "A=b;A=hunter2"),
        ("PROMETHEUS_PASSWORD", "hunter2"),
        ("PROMETHEUS_PASWORD", "hunter2"),
        ("XYZZY", "hunter2"),
    ],
)
def test_no_secret_is_in_an_error(name: str, value: str) -> None:
    """A secret never appears in errors."""
    with pytest.raises(SettingsError) as caught:
        settings(None, NO_SECRETS, **{name: value})
    assert "hunter2" not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is None


FIELDS = st.sampled_from([name.upper() for name in Settings.model_fields])
PYDANTIC = "Input should"
"""What pydantic's own words begin with; a value that holds them is told as it is."""
VALUES = st.text(max_size=30).filter(lambda text: PYDANTIC not in text) | st.sampled_from(
    ["15s", "a=b", "true", "http://a"]
)


@hypothesis.settings(deadline=None)
@given(st.dictionaries(FIELDS, VALUES, max_size=6))
def test_any_environment_gives_settings_or_problems(environ: dict[str, str]) -> None:
    """Whatever the values are: settings, or problems with a name and a cure in our words."""
    try:
        settings(None, NO_SECRETS, **environ)
    except SettingsError as error:
        found = error.problems
    else:
        return
    assert found
    for problem in found:
        assert problem.startswith("AUTOSCALER_")
        assert PYDANTIC not in problem
        assert problem.endswith(")")
