"""PromQL that is right, PromQL that is not, and names that try to get out of it."""

from __future__ import annotations

RIGHT_SELECTORS = [
    "",
    "  ",
    'job="cadvisor"',
    'job="cadvisor",',
    "job = 'cadvisor' , cluster !~ `a|\\d`",
    'a="} or vector(1) {",b!="\\"\\\\\\n\\x41\\u00e9"',
]
WRONG_SELECTORS = [
    ('{job="x"}', "a label name at character 1"),
    ("job", "a quoted value at character 4"),
    ("job=cadvisor", "a quoted value at character 4"),
    ('job="cadvisor', "a quoted value at character 4"),
    ('job="a\nb"', "a quoted value at character 4"),
    ('job="\\q"', "a quoted value at character 4"),
    ('job=="x"', "a quoted value at character 4"),
    ('job="a"} or vector(1) or x{a="b"', "a comma at character 8"),
    ('job="a" cluster="b"', "a comma at character 9"),
    ('job="a",,cluster="b"', "a label name at character 9"),
    (",", "a label name at character 1"),
    ('job="a",__name__="b"', "another label than the metric's name at character 9"),
    ('größe="x"', "at character 3"),
]
"""With what is needed, and where."""
RIGHT = [
    "up",
    "sum by (service) (rate(requests_total[2m]))",
    "a{b=\"([\"} + c{d='])'} - e{f=`{`}",
    "a{b=\"\\\"\", c='\\'', d=`\\`} > 0",
    'a{b="\\\\"}',
    'a{b=`it\'s "raw" \\`} # and (this is { "a comment',
    "a # it's\n + b",
    "(a # )\n)",
    "a{b=`two\nlines`}",
    'label_replace(a, "b", "$1", "c", "web-(.+)@.*")',
    'label_replace(a, "b", "${1}-${name}", "c", "(?P<name>.+)$")',
    'a{b=~"web$", c!~`^x$`}',
    'a{b="$"} # costs $service',
    "max_over_time(a[5m:15s] @ 1767600000 offset -1m)",
    'a{b="größe 数"}',
    'a{b="#"} # "',
    'sum(a{b="$service"})',
    'a{b="$service-$service.$service"}',
]
NASTY = (
    'web"} or vector(1) or a{b="',
    "web'} or vector(1) or a{b='",
    "web\\",
    '\\"',
    "\\'",
    "a\nb",
    "$service",
    ".*",
    "web|.+",
    "a.b",
    "[a-z]+",
    "#",
    "\\Q.*\\E",
    "größe",
)
