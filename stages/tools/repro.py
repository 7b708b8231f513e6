"""`dvc repro`, but with several independent stages at a time.

Dask hands the stages that are out of date to processes, or to a cluster's workers, each as soon as
the stages whose outputs it reads are done. If one fails, those that depend on it are skipped, and
the rest run.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TextIO
from uuid import uuid4

from stages.core.base.command import Parser

import dask
import networkx
from dask.delayed import Delayed
from dvc.exceptions import DvcException
from dvc.repo import Repo
from tqdm import tqdm
from tqdm.dask import TqdmCallback

from stages.core.base.errors import InputError, explained
from stages.core.parallel.cluster import connect
from stages.tools.worker import on_a_worker, run_dvc


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
    changed = set(repo.status())
    return graph.subgraph(changed.union(*(networkx.ancestors(graph, stage) for stage in changed)))


def reproduce(
    stage: str, before: Sequence[Outcome], run: Callable[[str, list[str], TextIO], int]
) -> Outcome:
    """Run one stage, unless one `before` it has a problem. What it prints is kept, and becomes part
    of its problem if it fails, because stages that run at the same time would mix their lines."""
    if missing := [outcome.stage for outcome in before if outcome.problem]:
        return Outcome(stage, f"was skipped: it reads outputs of {', '.join(missing)}")
    with tempfile.TemporaryFile("w+", encoding="locale", errors="replace") as log:
        status = run(stage, [outcome.stage for outcome in before], log)
        log.seek(0)
        ended = "failed" if status > 0 else "was killed"
        return Outcome(stage, f"{ended}:\n{log.read()}" if status else "")


def on_cluster(outcomes: Sequence[Delayed], address: str) -> list[Outcome]:
    with connect(address) as client:
        from distributed import KilledWorker, as_completed  # connect has checked for it

        print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        futures = client.compute(outcomes)
        for _ in tqdm(as_completed(futures), desc="stages", total=len(futures), disable=None):
            pass
        try:
            return client.gather(futures)
        except KilledWorker as error:
            raise InputError(f"workers kept dying: {error}") from None


def in_processes(outcomes: Sequence[Delayed], jobs: int) -> list[Outcome]:
    """Run stages in `jobs` threads, each of which waits for a process of its own."""
    with TqdmCallback(desc="stages", disable=None):
        return dask.compute(*outcomes, scheduler="threads", num_workers=jobs)


def run_stages(jobs: int, scheduler: str | None) -> list[Outcome]:
    """Run what is out of date, in `jobs` processes or on the cluster of the `scheduler`'s address.

    Raises InputError if DVC finds no project, or if workers keep dying.
    """
    try:
        graph = outdated(Repo())
    except DvcException as error:
        raise InputError(" ".join(str(error).split())) from None
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


def main() -> None:
    parser = Parser("stages.tools.repro", __doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, default=2, help="stages at a time (default: 2)")
    where.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="address of a Dask cluster")
    arguments = parser.parse_args()
    with explained():
        if arguments.jobs < 1:
            raise InputError(f"--jobs is {arguments.jobs}; it should be 1 or more")
        done = run_stages(arguments.jobs, arguments.scheduler)
        problems = [outcome for outcome in done if outcome.problem]
        for stage, problem in problems:
            print(f"{stage} {problem}", file=sys.stderr)
        if problems:
            raise InputError(f"{len(problems)} of {len(done)} stages have no new outputs")
    print(f"{len(done)} stages ran." if done else "Data and pipelines are up to date.")


if __name__ == "__main__":
    main()
