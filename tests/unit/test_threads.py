"""How many threads: as many as cores that the process may use, and not too many."""

import os
import threading

import pytest

from stages.core.parallel import threads


@pytest.mark.parametrize(
    ("pinned", "quota", "expected"),
    [
        (1, "max 100000", 1),
        (64, "max 100000", 64),
        (64, "150000 100000", 2),
        (64, "5000 100000", 1),
        (2, "800000 100000", 2),
        (3, None, 3),
    ],
)
def test_only_cores_that_the_process_may_use_count(monkeypatch, tmp_path, pinned, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(pinned)))
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    if quota:
        threads.QUOTA.write_text(quota, encoding="utf-8")
    assert threads.num_cores() == expected


def test_where_no_process_is_pinned_all_cores_count(monkeypatch, tmp_path):
    """On macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "none")
    assert threads.num_cores() == 5


@pytest.mark.parametrize(
    ("cores", "busy", "expected"),
    [(1, 0, 1), (3, 0, 3), (200, 0, threads.MOST), (1, 1, 1), (2, 1, 1), (3, 1, 2)],
)
def test_there_is_a_thread_for_each_but_no_more_than_a_limit(monkeypatch, cores, busy, expected):
    """Each waits for all others, so fewer would time out, and more would leave some waiting."""
    monkeypatch.setattr(threads, "num_cores", lambda: cores)
    meeting = threading.Barrier(expected)

    def meet(_item: int) -> str:
        meeting.wait(timeout=600)
        return threading.current_thread().name

    names = list(threads.in_threads(meet, range(10 * expected), busy=busy))
    assert len(set(names)) == expected
