"""The stages and their outputs, as DVC reads them from dvc.yaml."""

import shlex
from functools import cache
from pathlib import Path

import networkx
from dvc.repo import Repo
from dvc.stage import Stage

from common.project import ROOT


@cache
def graph() -> networkx.DiGraph:
    """Edges lead from a stage to those whose outputs it reads."""
    return Repo(str(ROOT)).index.graph


@cache
def stages() -> dict[str, Stage]:
    """All of them by their addresses, each after those whose outputs it reads."""
    order = networkx.lexicographical_topological_sort(graph().reverse(), lambda stage: stage.name)
    return {stage.name: stage for stage in order}


def made_here() -> dict[str, Stage]:
    """All but the downloads."""
    return {name: stage for name, stage in stages().items() if "download" not in name}


def downloads() -> dict[str, Stage]:
    return {name: stage for name, stage in stages().items() if "download" in name}


@cache
def commands() -> dict[str, list[str]]:
    """The words of each stage's command."""
    return {name: shlex.split(stage.cmd, comments=True) for name, stage in stages().items()}


def downstream(*addresses: str) -> set[str]:
    """These stages, and all that read what they make, or what is made of that."""
    found = set(addresses)
    for address in addresses:
        found |= {stage.name for stage in networkx.ancestors(graph(), stages()[address])}
    return found


def outs(*addresses: str) -> list[Path]:
    """The outputs of these stages, files and folders, relative to the project's folder."""
    return [
        Path(out.fs_path).relative_to(ROOT) for name in addresses for out in stages()[name].outs
    ]


def files_below(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that the stages but the downloads wrote."""
    made = [path for out in outs(*made_here()) for path in files_below(folder / out)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in made}
