"""No text is read or written in the encoding of the user's locale.

The linter's rule finds this only where it can tell that something is a path.
"""

import ast

import pytest

from common.project import ROOT

OTHERS = {"Image", "gzip", "os", "pooch", "tarfile", "webbrowser", "zipfile"}  # other `open`s


def opens_text(call: ast.Call) -> bool:
    """Whether the call reads or writes a text file, and says no encoding."""
    if any(keyword.arg in ("encoding", None) for keyword in call.keywords):
        return False
    match call.func:
        case ast.Attribute(attr="read_text"):
            return not call.args
        case ast.Attribute(attr="write_text"):
            return len(call.args) == 1
        case ast.Attribute(value=ast.Name(id=module), attr="open") if module in OTHERS:
            return False
        case ast.Attribute(attr="open"):
            mode = call.args[:1]
        case ast.Name(id="open"):
            mode = call.args[1:2]
        case _:
            return False
    match mode:
        case []:
            return True
        case [ast.Constant(value=str(letters))]:
            return set(letters) <= set("rwaxt+")
    return False


def texts_opened(source: str) -> list[int]:
    """The lines of such calls."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if opens_text(call)]


@pytest.mark.parametrize("folder", ["stages", "tests"])
def test_the_encoding_of_every_text_is_said(folder):
    modules = sorted((ROOT / folder).rglob("*.py"))
    found = {
        str(path.relative_to(ROOT)): texts_opened(path.read_text(encoding="utf-8"))
        for path in modules
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("call", "is_found"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("path.open()", True),
        ("(a / b).open('w')", True),
        ("open(path)", True),
        ("open(path, 'a')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.open('rb')", False),
        ("open(path, 'wb')", False),
        ("Image.open(path)", False),
        ("gzip.open(path)", False),
        ("archive.open(member)", False),
    ],
)
def test_such_calls_are_found(call, is_found):
    assert texts_opened(call) == [1] * is_found
