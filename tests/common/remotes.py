"""Remotes of every kind on this machine, and the commands of docs/sharing.md that use them."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from common.processes import kill
from common.project import ENVIRONMENT, ROOT, copy_pipeline, execute

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="no sshd: install openssh-server")


class Remote(NamedTuple):
    """A recipe of the page, with what its examples are to be replaced by."""

    heading: str
    addresses: dict[str, str]
    environment: dict[str, str] = {}

    def commands(self) -> str:
        [block] = recipe(self.heading, self.addresses)
        return block


def recipe(
    heading: str, addresses: dict[str, str] | None = None, page: str = "docs/sharing.md"
) -> list[str]:
    """The blocks of commands below a heading of the page, its example addresses replaced."""
    text = (ROOT / page).read_text(encoding="utf-8")
    [section] = re.findall(rf"^##+ {heading}.*?\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    for example, address in (addresses or {}).items():
        assert example in section
        section = section.replace(example, address)
    blocks = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", section, re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def follow(folder: Path, block: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a block of the page in a shell; it must succeed."""
    result = execute(folder, "sh", "-ec", block, **environment)
    assert result.returncode == 0, f"{block}\n{result.stdout}{result.stderr}"
    return result


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def serving(port: int, *command: str | Path) -> Iterator[subprocess.Popen]:
    """A server, from when it accepts connections on; it is killed in the end."""
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    try:
        while True:
            assert process.poll() is None, process.stderr.read()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield process
    finally:
        kill(process)


def sshd(folder: Path) -> tuple[Remote, int, tuple[str | Path, ...]]:
    """A server of SSH that lets in one key, made for it: the remote, the port, the command."""
    port = free_port()
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    for key in (host_key := folder / "host_key", folder / ".ssh/id_ed25519"):
        execute(folder, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {host_key}\n"
        f"AuthorizedKeysFile {folder}/.ssh/id_ed25519.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "Subsystem sftp internal-sftp\n",
        encoding="utf-8",
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where its unprivileged part lives
    addresses = {"HOST/srv": f"127.0.0.1:{port}{folder}", "USER": getpass.getuser()}
    remote = Remote("SSH", addresses, {"HOME": str(folder)})
    return remote, port, (SSHD, "-D", "-e", "-q", "-f", folder / "sshd_config")


@contextmanager
def webdav(folder: Path) -> Iterator[Remote]:
    port = free_port()
    (folder / "served/lesson").mkdir(parents=True)
    users = {"pupil": {"password": "secret"}}
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(folder / "served")},
        "simple_dc": {"user_mapping": {"*": users}},
        "verbose": 1,
    }
    (folder / "wsgidav.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    addresses = {
        "webdavs://HOST": f"webdav://127.0.0.1:{port}",
        "user USER": "user pupil",
        "PASSWORD": "secret",
    }
    with serving(port, "wsgidav", "--config", folder / "wsgidav.yaml"):
        yield Remote("WebDAV", addresses)


@contextmanager
def s3() -> Iterator[Remote]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        credentials = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **credentials)
        client.create_bucket(Bucket="pupils")
        addresses = {
            "BUCKET": "pupils",
            "https://HOST": url,
            "access_key_id KEY": "access_key_id key",
            "SECRET": "secret",
        }
        yield Remote("S3", addresses)
    finally:
        server.stop()


def give(project: Path, remote: Remote, folder: Path) -> str:
    """Follow the page in a copy of the project, with what is tried and then with what is committed;
    where it was pushed to with git."""
    giver, url = copy_pipeline(project, folder / "giver"), folder / "repository.git"
    execute(folder, "git", "clone", "-q", "--bare", str(giver), str(url)).check_returncode()
    for command in (f"remote add origin {url}", "fetch -q", "branch -q -u origin/master"):
        execute(giver, "git", *command.split()).check_returncode()
    name, settings, push = remote.commands(), recipe("Then")[0], recipe("Give")[0]
    back = "git reset -q --hard\ndvc checkout -q\n"
    for block in (name, settings, push, back, push):
        follow(giver, block, **remote.environment)
    shutil.rmtree(giver)
    return str(url)


def take(url: str, remote: Remote, folder: Path) -> tuple[Path, subprocess.CompletedProcess]:
    """Clone and pull; the clone, and what the last command, `dvc repro`, gave."""
    commands, _ = recipe("Take", {"URL": url})
    clone, go_there, *pull = commands.splitlines()
    assert go_there == "cd lesson"
    follow(folder, clone)
    for command in remote.commands().splitlines():
        if "--local" in command:
            follow(folder / "lesson", command, **remote.environment)
    *first, repro = pull
    follow(folder / "lesson", "\n".join(first), **remote.environment)
    return folder / "lesson", follow(folder / "lesson", repro, **remote.environment)
