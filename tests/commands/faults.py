"""Try every fault that a test is marked with, and write what became of it to docs/failures.md.

Each of these tests asserts that there is a clear message, that no wrong file is taken for a right
one, and that afterwards the right bytes are made: a fault whose tests all pass has lost nothing.
"""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

from common.project import ROOT

PAGE = ROOT / "docs/failures.md"
HEADER = ("fault", "tried", "what was lost")


def write_table(page: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Replace the rows of the page's table that has this header, and print the table."""
    first = f"| {' | '.join(header)} |\n"
    lines = [first, "|" + "---|" * len(header) + "\n"]
    lines += [f"| {' | '.join(row)} |\n" for row in rows]
    before, found, after = page.read_text(encoding="utf-8").partition(first)
    assert found, f"{page} has no table with this header"
    rest = after.splitlines(keepends=True)
    while rest and rest[0].startswith("|"):
        rest.pop(0)
    page.write_text(before + "".join(lines + rest), encoding="utf-8")
    print("".join(lines), end="")


class Outcomes:
    """What pytest reports of the marked tests, by their faults, in the order of the tests."""

    def __init__(self) -> None:
        self.passed: dict[str, int] = defaultdict(int)
        self.problems: dict[str, list[str]] = defaultdict(list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        report = yield
        for mark in item.iter_markers("fault"):
            if report.passed and report.when == "call":
                self.passed[mark.args[0]] += 1
            elif not report.passed:
                self.passed[mark.args[0]] += 0
                how = "not tried" if report.skipped else "FAILED"
                self.problems[mark.args[0]].append(f"{how}: {item.name}")
        return report

    def rows(self) -> list[tuple[str, ...]]:
        return [
            (fault, str(count), "; ".join(self.problems[fault]) or "nothing")
            for fault, count in self.passed.items()
        ]


def main() -> None:
    outcomes = Outcomes()
    status = pytest.main(["-q", "-m", "fault"], plugins=[outcomes])
    write_table(PAGE, HEADER, outcomes.rows())
    sys.exit(status)


if __name__ == "__main__":
    main()
