"""Syntax errors of the YAML parser as diagnostics that say what would be right."""

from __future__ import annotations

from autoscaler.policy_files.diagnostic import Diagnostic

_CURES = (
    ("alphabetic or numeric", 'write text that begins with * or & in quotes, like "*_web"'),
    ("mapping values are not allowed", 'put each "key: value" on a line of its own, and text with ": " into quotes'),
    ("could not find expected ':'", 'write "key: value", with a space after the colon'),
    ("',' or ']'", "separate the items by commas and close the list with ]"),
    ("',' or '}'", 'separate the entries by commas, write "key: value", and close the mapping with }'),
    ("unexpected end of stream", "close the quote"),
    ("unknown escape", "double the backslash, or use single quotes"),
    ("'-' indicator", 'begin every item of the list with "- ", all in the same column'),
    ("expected key", "begin all keys of a mapping in the same column, and close what was opened"),
    ("<block end>", "begin all keys of a mapping in the same column, and close what was opened"),
    ("incompatible YAML", "remove the line that begins with %YAML"),
)


def syntax_problem(error: Exception, file: str, text: str) -> Diagnostic:
    """Return the parser's *error* as a problem at its place, with what would be right."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Diagnostic(file, 1, 1, "", "is not valid YAML", "see https://yaml.org/spec/1.2.2/ for what is")
    said = str(getattr(error, "problem", None) or "the text ends too early")
    what = f"is not valid YAML: {said}"
    context, context_mark = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context and context_mark and (context_mark.line, context_mark.column) != (mark.line, mark.column):
        what += f" {context} that begins in line {context_mark.line + 1}, column {context_mark.column + 1}"
    lines = text.splitlines() or [""]
    if mark.line >= len(lines):  # behind the last line
        return Diagnostic(file, len(lines), len(lines[-1]) + 1, "", what, _cure(said, ""))
    character = lines[mark.line][mark.column : mark.column + 1]
    return Diagnostic(file, mark.line + 1, mark.column + 1, "", what, _cure(said, character))


def _cure(said: str, character: str) -> str:
    if "cannot start any token" in said:
        return (
            "indent with spaces, never with tabs"
            if character == "\t"
            else f"write text that begins with {character} in quotes"
        )
    for words, cure in _CURES:
        if words in said:
            return cure
    return "check the indentation, and that every bracket and quote is closed"
