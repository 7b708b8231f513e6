"""`dvc repro`, but several stages at a time: those that do not depend on one another.

Dask hands the stages that have something to do to as many processes, each stage once those are done
whose outputs it reads. When one fails, what depends on it is left out, and the rest runs.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import dask
import dvc.cli
import networkx
from dvc.exceptions import DvcException
from dvc.repo import Repo
from tqdm.dask import TqdmCallback


class Outcome(NamedTuple):
    """A stage, and why it has no new outputs; nothing if it has."""

    stage: str
    problem: str


def outdated(repo: Repo) -> networkx.DiGraph:
    """The names of the stages that have something to do, or come after one that has.

    Edges lead from a stage to those whose outputs it reads.
    """
    graph = networkx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing)
    changed = set(repo.status())
    return graph.subgraph(changed.union(*(networkx.ancestors(graph, stage) for stage in changed)))


def reproduce(stage: str, before: Sequence[Outcome]) -> Outcome:
    """Run one stage, unless one before it has a problem. What it prints goes into the problem that
    it has, if any, so that stages which run at the same time do not talk at the same time."""
    if missing := [outcome.stage for outcome in before if outcome.problem]:
        return Outcome(stage, f"was left out: it reads what {', '.join(missing)} should have made")
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())  # the stage is a process of its own
        status = dvc.cli.main(["--wait-for-lock", "repro", "--single-item", stage])
        log.seek(0)
        return Outcome(stage, f"failed:\n{log.read()}" if status else "")


def end_with_parent() -> None:
    """Let a process end when the one that started it is killed, rather than wait for work."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.core.repro",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time, 2 by default")
    jobs = parser.parse_args().jobs
    if jobs < 1:
        sys.exit(f"error: --jobs is {jobs}; it should be 1 or more")
    try:
        graph = outdated(Repo())
    except DvcException as error:
        sys.exit(f"error: {error}")
    outcomes = {}
    for stage in networkx.lexicographical_topological_sort(graph.reverse()):
        before = [outcomes[other] for other in graph[stage]]
        outcomes[stage] = dask.delayed(reproduce)(stage, before, dask_key_name=stage)
    try:
        with TqdmCallback(desc="stages", disable=None):
            done = dask.compute(
                *outcomes.values(),
                scheduler="processes",
                num_workers=jobs,
                chunksize=1,
                initializer=end_with_parent,
            )
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenProcessPool:
        sys.exit(
            "error: a process that ran a stage was killed; what was done is kept, run it again"
        )
    problems = [outcome for outcome in done if outcome.problem]
    for stage, problem in problems:
        print(f"{stage} {problem}", file=sys.stderr)
    if problems:
        sys.exit(f"error: {len(problems)} of {len(done)} stages have no new outputs")
    print(f"{len(done)} stages ran." if done else "Data and pipelines are up to date.")


if __name__ == "__main__":
    main()
