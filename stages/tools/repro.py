"""`dvc repro`, with one stage at a time or several; then say where the page is.

For several, Dask hands the stages that are out of date to processes, or to a cluster's workers,
each as soon as the stages whose outputs it reads are done. If one fails, those that depend on it
are skipped, and the rest run.
"""

import gc
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from stages.core.base.command import Parser

import networkx
from dvc.cli import main as dvc
from dvc.config import Config
from dvc.repo import Repo

from stages.core.base.addresses import shown
from stages.core.base.errors import InputError, explained, say
from stages.core.base.progress import progress
from stages.tools.params import check_params, check_sections
from stages.tools.project import check_folder, explained_by_dvc, open_project

if TYPE_CHECKING:
    from dask.delayed import Delayed  # slow to import, and needed for several stages alone


ADDRESS = r"(\w+://)?(\[[\da-fA-F:]+\]|[\w.-]+):\d{1,5}/?"  # of a Dask scheduler


class Outcome(NamedTuple):
    """A stage, and why it has no new outputs (empty if it has)."""

    stage: str
    problem: str


def outdated(repo: Repo) -> networkx.DiGraph:
    """A graph of the names of the stages that are out of date, or downstream of one that is.

    Edges lead from a stage to those whose outputs it reads. The attribute `spreads` of a stage says
    whether it spreads its own work over a cluster, as dvc.yaml has it.
    """
    graph: networkx.DiGraph = networkx.DiGraph(repo.index.graph)
    for stage, about in graph.nodes.items():
        about["spreads"] = bool(stage.meta and stage.meta.get("spreads"))
    graph = networkx.relabel_nodes(graph, lambda stage: stage.addressing)
    with explained_by_dvc():
        changed = set(repo.status())
    return graph.subgraph(changed.union(*(networkx.ancestors(graph, stage) for stage in changed)))


def reproduce(
    stage: str, before: Sequence[Outcome], run: Callable[[str, list[str], Path], int]
) -> Outcome:
    """Run one stage, unless one `before` it has a problem. What it printed becomes part of its
    problem if it fails: before, its lines were among those of other stages."""
    if missing := [outcome.stage for outcome in before if outcome.problem]:
        return Outcome(stage, f"was skipped: it reads outputs of {', '.join(missing)}")
    with TemporaryDirectory() as folder:
        log = Path(folder, "log")
        status = run(stage, [outcome.stage for outcome in before], log)
        ended = "failed" if status > 0 else "was killed"
        printed = log.read_text(encoding="locale", errors="replace")
        return Outcome(stage, f"{ended}:\n{printed}" if status else "")


def on_cluster(outcomes: Sequence["Delayed"], address: str) -> list[Outcome]:
    from stages.core.parallel.cluster import connect

    with connect(address) as client:
        from distributed import KilledWorker, as_completed  # connect has checked for it

        say(f"Dask's dashboard: {client.dashboard_link}")
        futures = client.compute(outcomes)
        with progress(len(futures), "stages") as done:
            for _ in as_completed(futures):
                done.update(1)
        try:
            return client.gather(futures)
        except KilledWorker as error:
            raise InputError(f"workers kept dying: {error}") from None


def in_processes(outcomes: Sequence["Delayed"], jobs: int) -> list[Outcome]:
    """Run stages in `jobs` threads, each of which waits for a process of its own."""
    import dask
    from tqdm.dask import TqdmCallback

    with TqdmCallback(desc="stages", disable=None):
        return dask.compute(*outcomes, scheduler="threads", num_workers=jobs)


def run_stages(jobs: int, scheduler: str | None) -> list[Outcome]:
    """Run what is out of date, in `jobs` processes or on the cluster of the `scheduler`'s address.

    Raises InputError if DVC finds no project, if workers keep dying, or on Windows.
    """
    if sys.platform == "win32":
        raise InputError("on Windows, stages run one at a time: --jobs 1")
    graph = outdated(open_project())
    if not graph:
        return []
    import dask

    from stages.tools.worker import on_a_worker, run_dvc

    outcomes: dict[str, Delayed] = {}
    run_id = uuid4().hex  # keeps apart two runs of the same stages on one cluster
    for stage in networkx.lexicographical_topological_sort(graph.reverse()):
        before = [outcomes[other] for other in graph[stage]]
        run = run_dvc
        if scheduler:
            run = partial(on_a_worker, spreads=graph.nodes[stage]["spreads"])
        outcomes[stage] = dask.delayed(reproduce)(
            stage, before, run, dask_key_name=f"{stage}-{run_id}"
        )
    if scheduler:
        return on_cluster([*outcomes.values()], scheduler)
    return in_processes([*outcomes.values()], jobs)


def run_all(jobs: int, scheduler: str | None) -> None:
    """Run what is out of date; ends the process if a stage fails."""
    check_folder()
    check_params(there=True)
    check_sections()
    if jobs == 1 and not scheduler:
        with explained_by_dvc():
            Config.from_cwd()  # where DVC finds a fault, it prints a traceback
        logging.raiseExceptions = False  # or a standard output that is full would be a traceback
        if status := dvc(["repro"]):
            say("")  # raises an error if that was why
            sys.exit(status)
        return
    done = run_stages(jobs, scheduler)
    problems = [outcome for outcome in done if outcome.problem]
    for stage, problem in problems:
        print(f"{stage} {problem}", file=sys.stderr)
    if problems:
        raise InputError(f"{len(problems)} of {len(done)} stages have no new outputs")
    say(f"{len(done)} stages ran." if done else "Data and pipelines are up to date.")


def main() -> None:
    parser = Parser("stages.tools.repro", __doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, default=2, help="stages at a time (default: 2)")
    where.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="address of a Dask cluster")
    parser.add_argument("--page", type=Path, help="the page, to print its address in the end")
    arguments = parser.parse_args()
    gc.freeze()
    gc.enable()
    start = time.monotonic()
    with explained():
        if arguments.jobs < 1:
            raise InputError(f"--jobs is {arguments.jobs}; it should be 1 or more")
        if arguments.scheduler is not None and not re.fullmatch(ADDRESS, arguments.scheduler):
            address = shown(arguments.scheduler)
            raise InputError(f"--scheduler is {address!r}; it should be as in tcp://HOST:PORT")
        run_all(arguments.jobs, arguments.scheduler)
        if arguments.page:
            address = arguments.page.resolve().as_uri()
            say(f"After {time.monotonic() - start:.0f} s, the page is up to date: {address}")


if __name__ == "__main__":
    main()
