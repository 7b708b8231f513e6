"""Python runs this as it starts, where this folder is on PYTHONPATH: the process then stops when it
comes to the files that the environment describes. See `stopped_at` in common/processes.py."""

import os
import re
import signal
import sys
from urllib.parse import quote

COMMAND = " ".join(sys.orig_argv)


def stop(marker):
    try:
        file = os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.write(file, str(os.getpid()).encode())
    os.close(file)
    os.kill(os.getpid(), signal.SIGSTOP)


def watch():
    path = re.compile(os.environ["STOP_PATH"])
    name = quote(COMMAND, safe="")[-200:] if os.environ["STOP_EACH"] else "first"
    marker = f"{os.environ['STOP_FOLDER']}/{name}"
    act, left = os.environ["STOP_ACT"], int(os.environ["STOP_NTH"])

    def hook(event, arguments):
        nonlocal left
        if left and event == act and isinstance(arguments[0], str | bytes | os.PathLike):
            left -= bool(path.search(os.fsdecode(arguments[0])))
            if not left:
                stop(marker)

    sys.addaudithook(hook)


if re.search(os.environ.get("STOP_COMMAND", "$^"), COMMAND):
    watch()
