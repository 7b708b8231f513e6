"""`dvc repro`, but several stages at a time: those that do not depend on one another.

Dask hands the stages that have something to do to as many processes, or to the workers of a
cluster, each stage once those are done whose outputs it reads. When one fails, what depends on it
is left out, and the rest runs.
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
    """A stage, and why it has no new outputs; nothing if it has."""

    stage: str
    problem: str


def outdated(repo: Repo) -> networkx.DiGraph:
    """The names of the stages that have something to do, or come after one that has; of each
    whether it `spreads` its work over a cluster, as dvc.yaml says.

    Edges lead from a stage to those whose outputs it reads.
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
    """Run one stage, unless one before it has a problem. What it prints goes into the problem that
    it has, if any, so that stages which run at the same time do not talk at the same time."""
    if missing := [outcome.stage for outcome in before if outcome.problem]:
        return Outcome(stage, f"was left out: it reads what {', '.join(missing)} should have made")
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        status = run(stage, [outcome.stage for outcome in before], log)
        log.seek(0)
        ended = "failed" if status > 0 else "was killed"
        return Outcome(stage, f"{ended}:\n{log.read()}" if status else "")


def on_cluster(outcomes: Sequence[Delayed], address: str) -> list[Outcome]:
    with connect(address) as client:
        from distributed import KilledWorker, as_completed  # there, or connect would have said so

        print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        futures = client.compute(outcomes)
        for _ in tqdm(as_completed(futures), desc="stages", total=len(futures), disable=None):
            pass
        try:
            return client.gather(futures)
        except KilledWorker as error:
            raise InputError(f"workers died again and again: {error}") from None


def in_processes(outcomes: Sequence[Delayed], jobs: int) -> list[Outcome]:
    """Each of so many threads waits for a process of its own."""
    with TqdmCallback(desc="stages", disable=None):
        return dask.compute(*outcomes, scheduler="threads", num_workers=jobs)


def run_stages(jobs: int, scheduler: str | None) -> list[Outcome]:
    """Run what is out of date, in so many processes or on the cluster at that address.

    Raises InputError where DVC finds no project, and when workers die again and again.
    """
    try:
        graph = outdated(Repo())
    except DvcException as error:
        raise InputError(str(error)) from None
    outcomes: dict[str, Delayed] = {}
    run_id = uuid4().hex  # another run on the same cluster may have stages of the same names
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
    where.add_argument("--jobs", type=int, default=2, help="stages at a time, 2 by default")
    where.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="of a Dask cluster")
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
