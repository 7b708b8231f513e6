"""Results pushed from one clone and pulled into another, as docs/sharing.md says it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from common.graph import outputs
from common.parameters import change_units
from common.project import LOCK, copy_pipeline, execute, ran
from common.remotes import Remote, follow, give, needs_sshd, recipe, s3, serving, sshd, take, webdav


@pytest.fixture(
    params=[
        "folder",
        pytest.param("ssh", marks=[needs_sshd, pytest.mark.slow]),
        pytest.param("webdav", marks=pytest.mark.slow),
        pytest.param("s3", marks=pytest.mark.slow),
    ]
)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """Each kind of remote, empty, its server running on this machine."""
    match request.param:
        case "folder":
            yield Remote("A folder", {"/srv": str(tmp_path / "remote")})
        case "ssh":
            remote, port, command = sshd(tmp_path / "home")
            with serving(port, *command):
                yield remote
        case "webdav":
            with webdav(tmp_path / "webdav") as remote:
                yield remote
        case "s3":
            with s3() as remote:
                yield remote


@pytest.fixture
def tried(pipeline, made_once) -> Path:
    """A project in which another number of hidden units is being tried, not committed. Not to be
    changed."""

    def make(folder: Path) -> None:
        copy_pipeline(pipeline, folder)
        change_units(folder, 12)
        execute(folder, "dvc", "repro").check_returncode()

    return made_once("tried", make)


def test_what_one_computed_another_need_not(remote, tried, pipeline, tmp_path):
    url = give(tried, remote, tmp_path)
    taker, result = take(url, remote, tmp_path)
    assert ran(result) == set()
    assert "up to date" in execute(taker, "dvc", "status").stdout
    assert execute(taker, "git", "status", "--porcelain").stdout == ""
    assert (taker / "dvc.lock").read_bytes() == LOCK
    assert outputs(taker) == outputs(pipeline)

    change_units(taker, 12)
    _, repro = recipe("Take", {"URL": url})
    assert ran(follow(taker, repro, **remote.environment)) == set()
    metrics = taker / "artifacts/metrics/mlp.json"
    assert metrics.read_bytes() == (tried / "artifacts/metrics/mlp.json").read_bytes()
    assert json.loads(metrics.read_text(encoding="utf-8"))["num_parameters"] == 795 * 12 + 10


def test_secrets_stay_on_the_machine(tried, tmp_path):
    giver = copy_pipeline(tried, tmp_path / "giver")
    for heading in ("SSH", "WebDAV", "S3"):
        follow(giver, Remote(heading, {" shared ": f" {heading} "}).commands())
    committed = (giver / ".dvc/config").read_text(encoding="utf-8")
    assert not re.search("user|pass|key|secret", committed, re.IGNORECASE)
    changes = execute(giver, "git", "status", "--porcelain", ".dvc").stdout
    assert changes.split() == ["M", ".dvc/config"]


def test_one_file_is_had_elsewhere(tried, pipeline, tmp_path):
    url = give(tried, Remote("A folder", {"/srv": str(tmp_path / "remote")}), tmp_path)
    get, import_, python = recipe("One file", {"URL": url})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    model = (pipeline / "artifacts/models/cnn.safetensors").read_bytes()
    follow(elsewhere, get)
    assert [path.name for path in elsewhere.iterdir()] == ["cnn.safetensors"]
    assert (elsewhere / "cnn.safetensors").read_bytes() == model

    (elsewhere / "cnn.safetensors").unlink()
    follow(elsewhere, "git init -q && dvc init -q")
    follow(elsewhere, import_)
    assert (elsewhere / "cnn.safetensors").read_bytes() == model
    [dependency] = yaml.safe_load((elsewhere / "cnn.safetensors.dvc").read_text(encoding="utf-8"))[
        "deps"
    ]
    assert dependency["repo"]["url"] == url
    assert "up to date" in follow(elsewhere, "dvc status").stdout

    result = execute(elsewhere, "python", "-c", python)
    assert json.loads(result.stdout)["num_parameters"] == 4266, result.stderr
