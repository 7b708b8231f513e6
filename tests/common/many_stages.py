"""Run many stages: `python many_stages.py '["stages.NAME", "ARGUMENT", …]' …`, in this folder.

Each runs as `python -m` runs it, in a process of its own: a fork of this one, which has imported
the large libraries. On an emulated processor importing them takes longer than most stages do.
SETTINGS in the environment is code to run before.
"""

import json
import os
import runpy
import sys

sys.path[0] = ""  # where `python -m` looks for modules first

import stages.core.base.command  # noqa: E402, F401  (it must come first)

import torch  # noqa: E402, F401

exec(os.environ.get("SETTINGS", ""))  # noqa: S102

import matplotlib.figure  # noqa: E402, F401
import torchvision  # noqa: E402, F401

for words in sys.argv[1:]:
    module, *arguments = json.loads(words)
    child = os.fork()
    if child == 0:
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit()
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"{module} failed")
