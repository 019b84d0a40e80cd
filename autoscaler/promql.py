"""PromQL texts as far as they must be understood without a server: quotes, brackets, and the variable `$service`."""

from __future__ import annotations

import re

SERVICE = "$service"
"""The variable that stands for a service's name, inside a quoted text of a query."""

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<open>[(\[{]) | (?P<close>[)\]}])
      | (?P<unclosed>["'`])
      | (?P<variable>\$)""",
    re.VERBOSE,
)
_VARIABLE = re.compile(r"\$service(?![A-Za-z0-9_])")
_NEARLY = re.compile(r"\$(?:\{service\w*\}|service\w+|\{?__\w+\}?)")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_REGEX_MATCHER = re.compile(r"[=!]~\s*$")


def problem_of(query: str) -> str | None:
    """What is wrong with *query* that can be told without Prometheus, and the cure; None where nothing is."""
    opened: list[str] = []
    for token in _TOKEN.finditer(query):
        text = token.group()
        at = f"at character {token.start() + 1}"
        match token.lastgroup:
            case "unclosed":
                return f"the query's quote {text} {at} is not closed (close it)"
            case "variable":
                return f'the query holds a $ outside of quotes {at} (write "{SERVICE}", in quotes)'
            case "quoted" if nearly := _NEARLY.search(text):
                return f"the query's {nearly.group()} {at} means nothing (the one variable is {SERVICE})"
            case "open":
                opened.append(_PAIRS[text])
            case "close" if not opened or opened.pop() != text:
                return f"the query's {text} {at} closes nothing (remove it, or open a bracket before)"
    if opened:
        return f"the query lacks a {opened[-1]} (close the bracket)"
    return None


def mentions_service(query: str) -> bool:
    """Whether *query* is a template: asks for one service that `$service` names."""
    return any(_VARIABLE.search(token.group()) for token in _quoted(query))


def for_service(query: str, service: str) -> str:
    """*query* with *service* in the place of each `$service`, quoted so that it stays the text that it is.

    After `=~` and `!~` it is made a regular expression that matches just the name. Raises ValueError where the name
    cannot stand in the query's quotes.
    """
    parts: list[str] = []
    end = 0
    for token in _quoted(query):
        quote = token.group()[0]
        text = re.escape(service) if _REGEX_MATCHER.search(query, 0, token.start()) else service
        if quote == "`":
            if "`" in text:
                raise ValueError(f"the name {service!r} cannot stand between backquotes (use double quotes there)")
            quoted = text
        else:
            quoted = text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
        parts += [query[end : token.start()], quoted.join(_VARIABLE.split(token.group()))]
        end = token.end()
    return "".join([*parts, query[end:]])


def _quoted(query: str) -> list[re.Match[str]]:
    return [token for token in _TOKEN.finditer(query) if token.lastgroup == "quoted"]
