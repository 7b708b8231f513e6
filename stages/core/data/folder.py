"""The files of a folder that DVC digests: all that a stage which depends on the folder may read.

If it read others, DVC would call its outputs up to date although a file has changed. So DVC itself
is asked what it leaves out: whatever a `.dvcignore` names, and `.git`, `.hg` and `.dvc`.
"""

import os
from pathlib import Path
from typing import NamedTuple, NoReturn

from dvc.fs import localfs
from dvc.ignore import DvcIgnoreFilter

from stages.core.base.errors import InputError


class Files(NamedTuple):
    """Paths relative to a folder, in a fixed order: its own files before those of its subfolders.

    `left_out` are the files and folders that DVC leaves out; a folder's path ends with /.
    """

    paths: list[str]
    left_out: list[str]


def digested_files(folder: Path) -> Files:
    """The files in a folder and its subfolders. The current folder must be that of the project.

    Raises InputError if DVC would overlook images although no `.dvcignore` says so: those behind a
    link to a folder, or in a DVC project of its own. Also if it leaves out the whole folder.
    """
    ignore = DvcIgnoreFilter(localfs, str(Path.cwd()))
    top = Path(os.path.abspath(folder))  # noqa: PTH100  resolve() would follow links; DVC does not
    for above in reversed(top.parents):  # in DVC's order: it finds other projects on its way down
        child = top.relative_to(above).parts[0]
        if not ignore(str(above), [child], [])[0]:
            raise InputError(
                f"{folder} is left out by DVC, which would not notice changes in it: a .dvcignore "
                f"names {child}, or it is a DVC project of its own"
            )
    files = Files([], [])
    for place, folders, names in os.walk(folder, onerror=_fail):
        below = Path(place).relative_to(folder)
        seen_folders, seen_names = ignore(place, folders, names)
        unseen = set(ignore(place, folders, [], ignore_subrepos=False)[0]) - set(seen_folders)
        for name in sorted(folders, key=os.fsencode):
            if name in unseen:
                what = "is a DVC project of its own"
            elif name in seen_folders and Path(place, name).is_symlink():
                what = "is a link to a folder"
            else:
                continue
            raise InputError(
                f"{Path(place, name)} {what}, in which DVC does not notice changes: put the files "
                "themselves there, or name it in .dvcignore to leave it out"
            )
        files.left_out.extend((below / name).as_posix() for name in set(names) - set(seen_names))
        files.left_out.extend(
            f"{(below / name).as_posix()}/" for name in set(folders) - set(seen_folders)
        )
        files.paths.extend(
            (below / name).as_posix() for name in sorted(seen_names, key=os.fsencode)
        )
        folders[:] = sorted(seen_folders, key=os.fsencode)
    files.left_out.sort(key=os.fsencode)
    return files


def _fail(error: OSError) -> NoReturn:
    raise error
