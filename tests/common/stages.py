"""Stages that run in the process of the test."""

import sys
from importlib import import_module
from unittest.mock import patch

from stages.core.base.command import run

from common.graph import commands


def run_stage(name: str) -> None:
    """Run a stage in the current folder, with the arguments that dvc.yaml gives it."""
    _, _, module, *arguments = commands()[name]
    with patch.object(sys, "argv", [module, *arguments]):
        run(import_module(module).main)
