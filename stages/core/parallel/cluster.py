"""A Dask cluster whose workers run in the project's folder."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Generator, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core.base.addresses import shown
from stages.core.base.errors import InputError
from stages.core.parallel.threads import Item, Result, in_order, in_threads

if TYPE_CHECKING:
    from distributed import Client  # optional, so imported only when needed

ADDRESS = "DASK_SCHEDULER_ADDRESS"  # the environment variable that names a cluster to Dask
REACH, ANSWER = 5, 30  # seconds for a machine to be reached, and for Dask there to answer


def digest_of_code() -> str:
    """The sha256 of all modules of `stages`, as they are on disk now."""
    modules = sorted(Path(__file__).parents[2].rglob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


CODE = digest_of_code()  # at import: a worker keeps what it imported when files change


def project() -> tuple[str, str]:
    """The folder in which this process runs, and the digest of its code."""
    return str(Path.cwd()), CODE


async def reach(address: str) -> None:
    """Raises an error, soon, unless a Dask scheduler listens at the address.

    Dask's own client retries for long where nobody listens, and waits for ever where another
    program does.
    """
    from distributed import Security
    from distributed.comm import connect, get_address_host_port

    socket.create_connection(get_address_host_port(address), timeout=REACH).close()
    arguments = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=ANSWER, **arguments), timeout=ANSWER)
    await comm.close()


def connect(address: str) -> "Client":
    """A client of the Dask scheduler at `address` ("tcp://host:port").

    Raises InputError if none answers, or if a worker runs in another folder or with other code.
    """
    if find_spec("distributed") is None:
        raise InputError("a cluster needs the package distributed: see tests/requirements.txt")
    from distributed import Client

    try:
        asyncio.run(reach(address))
        client = Client(address, timeout=ANSWER)
    except Exception as error:  # of any kind, if it is no scheduler that answers
        reason = " ".join(str(error).split()).replace(address, shown(address)) or "no answer"
        raise InputError(f"no Dask scheduler answers at {shown(address)}: {reason}") from None
    places = client.run(project, on_error="return").values()  # an exception where it lacks `stages`
    if any(place != project() for place in places):
        client.close()
        raise InputError(
            f"a Dask worker of {address} has another folder or other code; restart all workers "
            f"in {Path.cwd()}: python -m dask worker {address}"
        )
    return client


def spread(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """The function's results for the items, in order. They are computed by the cluster that the
    environment variable `ADDRESS` names, or else by threads. A dead worker's items are redone by
    another.

    Raises InputError if there is no such cluster, or if it has no workers.
    """
    if not os.environ.get(ADDRESS):
        yield from in_threads(function, items)
        return
    try:
        client = connect(os.environ[ADDRESS])
    except InputError as error:
        raise InputError(f"{error}; unset {ADDRESS} to do without a cluster") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWER)
        except TimeoutError:
            raise InputError(
                f"the cluster that {ADDRESS} names, {os.environ[ADDRESS]}, has no workers"
            ) from None
        ahead = 2 * sum(client.nthreads().values())
        yield from in_order(function, items, client.get_executor(), ahead)
