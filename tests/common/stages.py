"""Stages that run in the process of the test."""

import sys
from importlib import import_module
from unittest.mock import patch

from stages.core.base.command import run

from common.graph import command


def run_stage(address: str) -> None:
    """Run a stage in the current folder, with the arguments that dvc.yaml gives it."""
    _, _, name, *arguments = command(address)
    with patch.object(sys, "argv", [name, *arguments]):
        run(import_module(name).main)
