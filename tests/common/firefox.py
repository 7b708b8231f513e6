"""Debian's Firefox without a window, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi),
which it speaks itself; Playwright only drives a Firefox of its own."""

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

FIREFOX = shutil.which("firefox-esr")
needs_firefox = pytest.mark.skipif(
    FIREFOX is None, reason="no firefox-esr: install Debian's package"
)
T = TypeVar("T")
READY = "WebDriver BiDi listening on "


@contextmanager
def firefox(folder: Path) -> Iterator["Firefox"]:
    """A browser with one page, which ends with the context. `folder`: for its profile."""
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(folder)]
    process = subprocess.Popen(
        [*command, "--remote-debugging-port=0", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = process.stderr
        ready = next((line for line in said if line.startswith(READY)), None)
        assert ready, f"Firefox ended with status {process.wait()}"
        threading.Thread(target=said.read, daemon=True).start()  # or it waits once the pipe is full
        yield Firefox(ready.removeprefix(READY).strip())
    finally:
        process.terminate()
        process.wait()


class Firefox:
    """The page of a browser that listens at an address."""

    def __init__(self, address: str) -> None:
        self.loop = asyncio.new_event_loop()  # in a thread: Playwright has one in this one
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.count = 0
        self.wait_for(self.connect(address))
        [tree] = self.send("browsingContext.getTree")["contexts"]
        self.page = tree["context"]

    async def connect(self, address: str) -> None:
        self.session = aiohttp.ClientSession()
        self.socket = await self.session.ws_connect(f"{address}/session", max_msg_size=0)
        await self.exchange("session.new", capabilities={})

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self.wait_for(self.exchange(method, **params))

    async def exchange(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events in between are of no interest."""
        self.count += 1
        await self.socket.send_json({"id": self.count, "method": method, "params": params})
        while (answer := await self.socket.receive_json()).get("id") != self.count:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    def goto(self, path: Path) -> None:
        url = path.absolute().as_uri()
        self.send("browsingContext.navigate", context=self.page, url=url, wait="complete")

    def evaluate(self, function: str, argument: Any = None) -> Any:
        """What a function of JavaScript makes of an argument, both as JSON."""
        wrapped = f"(text) => JSON.stringify(({function})(JSON.parse(text))) ?? 'null'"
        found = self.send(
            "script.callFunction",
            functionDeclaration=wrapped,
            awaitPromise=True,
            target={"context": self.page},
            arguments=[{"type": "string", "value": json.dumps(argument)}],
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])
