"""Compute AlexNet's features of every image in a folder, as rows of Parquet files."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

from pydantic import Field

from stages.core.alexnet.embedding import (
    Batch,
    Embedded,
    Skipped,
    batches,
    embed_images,
    skipped_images,
    without_clutter,
    write_rows,
)
from stages.core.alexnet.network import SMALLEST
from stages.core.base.errors import InputError
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import PARAMS, Params, read_params
from stages.core.base.progress import Progress, progress
from stages.core.data.folder import Files, digested_files
from stages.core.parallel.cluster import spread

ROWS = 512  # per file, at most: 0.5 MB of averaged features, 19 MB of 256 × 6 × 6
NAMED = 3  # files in a message, at most


class ImagesParams(Params):
    path: str
    size: Annotated[int, Field(ge=SMALLEST, le=512)]
    pool: bool
    max_skipped: Annotated[int, Field(ge=0)]
    groups: str = ""  # only `classify_images` reads it, which requires it


def unreadable(skipped: Iterable[Skipped]) -> list[Skipped]:
    return [file for file in skipped if file.is_image]


def embedded(
    results: Iterable[Batch], skipped: list[Skipped], max_skipped: int, bar: Progress
) -> Iterator[Embedded]:
    """The rows of all batches. What is skipped is added to the list; ends once it is too much."""
    num_unreadable = 0
    for batch in results:
        yield from batch.rows
        skipped += batch.skipped
        bar.update(len(batch.rows) + len(batch.skipped))
        num_unreadable += len(unreadable(batch.skipped))
        if num_unreadable > max_skipped:
            return


def named(names: Sequence[str]) -> str:
    """The first names, on one line, and how many more there are."""
    more = [f"and {len(names) - NAMED:,} more"] if len(names) > NAMED else []
    text = "; ".join([*names[:NAMED], *more])
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def write_list(skipped: Iterable[Skipped], path: Path) -> None:
    write_csv(path, ("path", "reason"), sorted((file.path, file.reason) for file in skipped))


def main(weights: Path, embedded_images: Path, skipped_files: Path) -> None:
    params = read_params("images", ImagesParams)
    unreadable_files = skipped_files.with_name("unreadable_images.csv")  # no output: for a failure
    unreadable_files.unlink(missing_ok=True)

    folder = Path(params.path)
    files = digested_files(folder) if folder.is_dir() else Files([], [])
    images, skipped = without_clutter(files.paths)
    num_rows, num_clutter = 0, len(skipped)
    embed = partial(
        embed_images, folder=folder, weights=weights, size=params.size, pool=params.pool
    )
    with new_folder(embedded_images) as out, progress(len(images), "files") as bar:
        with closing(spread(embed, batches(images))) as results:
            rows = embedded(results, skipped, params.max_skipped, bar)
            for number in count():
                part = list(islice(rows, ROWS))
                if not part:
                    break
                write_rows(part, out / f"part-{number:06}.parquet")
                num_rows += len(part)

        if len(unreadable(skipped)) > params.max_skipped:
            rest = images[num_rows + len(skipped) - num_clutter :]
            look = partial(skipped_images, folder=folder, size=params.size)
            with closing(spread(look, batches(rest))) as others:
                for paths, more in zip(batches(rest), others, strict=True):
                    skipped += more
                    bar.update(len(paths))
            bad = sorted(unreadable(skipped))
            write_list(bad, unreadable_files)
            first = named([f"{path} {reason}" for path, reason, _ in bad])
            raise InputError(
                f"{folder}: {len(bad):,} image{'s' * (len(bad) > 1)} cannot be read, but "
                f"images.max_skipped is {params.max_skipped}: {first} (list: {unreadable_files})"
            )
        if num_rows == 0:
            found = [f"{path} {reason}" for path, reason, _ in skipped]
            found += [f"DVC leaves out {path}" for path in files.left_out]
            raise InputError(
                f"{PARAMS}: images.path: {folder} should be a folder with images in it"
                f"{': ' * bool(found)}{named(found)}"
            )
        write_list(skipped, skipped_files)

    if files.left_out:
        why = f"{folder}: not read, because DVC leaves it out: "
        print(f"{why}{named(files.left_out)}", file=sys.stderr)
    summary = f"{num_rows:,} images read, {len(skipped):,} files skipped"
    if skipped:
        summary += f" (unreadable images: {len(unreadable(skipped)):,}): see {skipped_files}"
    print(summary, file=sys.stderr)


if __name__ == "__main__":
    run(main)
