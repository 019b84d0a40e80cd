"""Policy files, policy test files and stack files that are made to hang, to fill the memory, or to be misread."""

from __future__ import annotations

from typing import Final

VERSION = "version: 1\n"
HEAD = f"{VERSION}policies:\n"
RULE = "{name: r, metric: cpu, above: 70, add: 1}"

SCHEDULE = '{name: s%, start: "0 0 29 2 *", end: "0 1 29 2 *", min: 2}'


def _policy(name: str = "p", services: str = "web", more: str = "", rules: str = RULE) -> str:
    return f"- {{name: {name}, services: [{services}], replicas: {{min: 1, max: 9}}, rules: [{rules}]{more}}}\n"


def _one(services: str = "web", more: str = "", rules: str = RULE) -> str:
    return HEAD + _policy("p", services, more, rules)


def _each(count: int, services: str, more: str = "") -> str:
    return HEAD + "".join(_policy(f"p{i}", services.format(i), more) for i in range(count))


def _list(count: int, item: str) -> str:
    return ",".join(item.replace("%", str(i)) for i in range(count))


def _doubled(first: str, again: str, levels: int = 12) -> str:
    """Anchors of which each means the one before ten times."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {again.replace('*', ','.join([f'*a{i - 1}'] * 10))}" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


def _schedule(start: str, end: str = "0 3 * * *") -> str:
    return f', schedules: [{{name: s, start: "{start}", end: "{end}", min: 2}}]'


REFUSED: Final[dict[str, tuple[str | bytes, str]]] = {
    "aliases that double": (_doubled("[x,x,x]", "[*]"), "more than 300000 nodes"),
    "merge keys that double": (_doubled("{k: 1}", "{<<: [*], k: 1}"), "the key"),
    "a merge key of many": (f"a: &a {{{_list(100, 'k%: 1')}}}\nb: {{<<: [{_list(50_000, '*a')}]}}", "more than 300000"),
    "many merge keys": (f"a: &a {{{_list(5000, 'k%: 1')}}}\n" + "b%: {<<: *a}\n" * 5000, "more than 300000 nodes"),
    "a chain of merge keys": (
        "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 3000)),
        "more than 300000 nodes",
    ),
    "a merge key of itself": ("a: &a {<<: *a}", "stands inside what it refers to"),
    "deep lists": ("[" * 500_000, "nested more than 32 deep"),
    "deep mappings": ("{a: " * 200_000, "nested more than 32 deep"),
    "deep blocks": ("".join(" " * i + "a:\n" for i in range(1000)), "nested more than 32 deep"),
    "deep aliases": (
        "a0: &a0 x\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000)),
        "nested more than 32 deep",
    ),
    "a huge file": ("a: " + "x" * 3 * 2**20, "larger than 1048576 bytes"),
    "many keys": ("\n".join(f"k{i}: 1" for i in range(90_000)), "there may be more problems"),
    "one key often": ("a: 1\n" * 200_000, "given twice"),
    "many misspelt keys": (f"{HEAD}- {{{_list(50_000, 'services%: 1')}}}", "there may be more problems"),
    "many problems": (HEAD + "- {nam: x, servces: [w], rplicas: {mn: 1}, rles: []}\n" * 4900, "there may be more"),
    "a number of 5,000 digits": (_one().replace("max: 9", "max: " + "9" * 5000), "too long a number"),
    "a number beyond all": (_one().replace("above: 70", "above: 1e999"), "finite number"),
    "a hexadecimal number": (_one().replace("above: 70", "above: 0x" + "f" * 900_000), "number in disguise"),
    "a number to the base of 60": (_one().replace("above: 70", "above: 1" + ":59" * 300_000), "base of 60"),
    "a number of underscores": (_one().replace("above: 70", "above: " + "1_" * 400_000), "is a number in YAML 1.1"),
    "a duration of ages": (_one().replace("add: 1", "add: 1, for: 999999999999y"), "longer than a year"),
    "a duration of digits": (_one().replace("add: 1", f"add: 1, for: {'9' * 900_000}s"), "is not a duration"),
    "globs that are alike": (_each(2500, '"' + "*a" * 100 + '{}*"'), "the glob"),
    "policies for everything": (_each(5000, '"*"'), "the glob"),
    "too many globs": (_one(_list(60_000, '"*%*a*b*c"')), "give at most 5000"),
    "too many exclusions": (_one('"*"', f", exclude: [{_list(60_000, 'a%')}]"), "give at most 5000"),
    "too many rules": (_one(rules=_list(15_000, RULE.replace("r,", "r%,"))), "rules: has 15000 (give at most 100)"),
    "too many guards": (
        _one(more=f", guards: [{_list(15_000, '{name: g%, metric: cpu, above: 1, block: up}')}]"),
        "give at most 100",
    ),
    "too many schedules": (
        _one(more=f", schedules: [{_list(9000, SCHEDULE)}]"),
        "give at most 100",
    ),
    "too many policies": (_each(6000, "w{}"), "more than the 5000 policies"),
    "policies of one name": (HEAD + _policy() * 5000, "there may be more problems"),
    "a cron expression of a megabyte": (_one(more=_schedule("0-59," * 150_000 + "0 * * * *")), "not a cron expression"),
    "a cron expression that never comes": (_one(more=_schedule("30 2 30 2 *")), "not a cron expression"),
    "a time zone from elsewhere": (
        _one(more=_schedule("0 2 * * *")[:-2] + ", timezone: ../../../../etc/passwd}]"),
        "is not a time zone",
    ),
    "a query of a megabyte": (f"{VERSION}metrics: {{m: {{query: '{'(' * 1_000_000}'}}}}", "20000 characters at most"),
    "a query of brackets": (f"{VERSION}metrics: {{m: {{query: '{'(' * 19_999}'}}}}", "close the bracket"),
    "a query of quotes": (f"{VERSION}metrics: {{m: {{query: '{chr(34) * 19_999}'}}}}", "is not closed"),
    "many queries": (
        VERSION + "metrics:\n" + "".join(f"  m{i}: {{query: 'x{{a=$service}}'}}\n" for i in range(9000)),
        "there may be more problems",
    ),
    "large defaults": (
        f"{VERSION}defaults: {{exclude: [{_list(30_000, 'a%')}]}}\n" + _each(20, '"w{}*"')[len(VERSION) :],
        "they are more than 300000 nodes",
    ),
    "an anchor of a megabyte": (f"a: &{'x' * 900_000} 1\nb: *{'y' * 90_000}", "refers to nothing"),
    "many tags": (f"a: [{_list(20_000, '!!python/object/apply:os.system [x]')}]", "has the tag"),
    "many documents": ("---\na: 1\n" * 100_000, "a second document begins here"),
    "many control characters": ("\x01" * 900_000, "has the control character U+0001"),
    "a null character": (_one("we\x00b"), "has the control character U+0000"),
    "halves of surrogate pairs": (_one("we\ud800b").encode("utf-8", "surrogatepass"), "is not UTF-8 text"),
    "UTF-16": (_one().encode("utf-16"), "is not UTF-8 text"),
    "noise": (bytes(range(256)) * 4000, "is not UTF-8 text"),
    "letters that turn around": (_one('"w\u202eeb"'), "U+202E"),
    "letters without width": (_one("we\u200bb"), "U+200B"),
    "an escape in a name": (_one('"\\x1b[31m"'), "U+001B"),
    "letters that look like others": (_one().replace("services", "serv\u0456ces"), "unknown key"),
    "many complex keys": ("? [a, b, {c: d}]\n: x\n" * 20_000, "the key is not text"),
    "a key of a megabyte": (f"? {'x' * 900_000}\n: 1", "is missing"),
    "a name of a megabyte": (_one().replace("name: p,", f"name: {'a.' * 450_000},"), "63 characters at most"),
    "only a comment": ("#" + "x" * (2**20 - 5), "is empty"),
    "only line breaks": ("\n" * (2**20 - 5), "is empty"),
    "only tabs": ("\t" * 2**20, "is not valid YAML"),
}
"""Policy files that are refused, by what is odd about them; and a part of what is said."""

ACCEPTED: Final[dict[str, str]] = {
    "a glob of stars": _one('"' + "*a" * 127 + '"'),
    "a glob of brackets": _one('"' + "[!" * 127 + '"'),
    "many globs": _one(_list(5000, '"w%*x*y*z"')),
    "many exclusions": _one('"*"', ", exclude: [" + _list(5000, '"*%*a*b*c"') + "]"),
    "many policies": _each(5000, "w{}"),
    "many policies of globs": _each(2500, '"w{}x*"'),
    "many rules": _one(rules=_list(100, RULE.replace("r,", "r%,"))),
    "many schedules": _each(500, "w{}", _schedule("0 0 29 2 *", "0 1 29 2 *")),
    "a day that seldom comes": _one(more=_schedule("0 0 29 2 1#5", "0 1 29 2 1#5")),
    "a number of many digits": _one().replace("above: 70", "above: 0." + "9" * 900_000),
    "a table": _one(rules=f"{{name: t, metric: cpu, strategy: table, table: {{{_list(40_000, '%: 3')}}}}}"),
    "many metrics": VERSION
    + "metrics:\n"
    + "".join(f"  m{i}: {{query: up}}\n" for i in range(20_000))
    + _one()[len(VERSION) :],
    "a byte order mark": "\ufeff" + _one(),
}
"""Policy files that are valid, and cost no more than they may."""
