"""Stages that run in the process of the test."""

import shlex
import sys
from functools import cache
from importlib import import_module
from unittest.mock import patch

from stages.core.base.command import run

from common.graph import graph


@cache
def commands() -> dict[str, list[str]]:
    """The words of each stage's command by its name, which unlike its address is the same whatever
    the current folder is."""
    return {stage.name: shlex.split(stage.cmd, comments=True) for stage in graph()}


def run_stage(name: str) -> None:
    """Run a stage in the current folder, with the arguments that dvc.yaml gives it."""
    _, _, module, *arguments = commands()[name]
    with patch.object(sys, "argv", [module, *arguments]):
        run(import_module(module).main)
