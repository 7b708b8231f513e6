"""Compute AlexNet's features of every image in a folder: a row each, in files of Parquet."""

import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

from stages.core.command import run

from pydantic import Field
from tqdm import tqdm

from stages import paths
from stages.core.alexnet import SMALLEST
from stages.core.cluster import spread
from stages.core.embedding import IMG_EXTENSIONS, Block, embed_block, image_names
from stages.core.errors import InputError
from stages.core.files import write_csv
from stages.core.params import Params, read_params

ROWS = 512  # of a file, at most: 0.5 MB of averaged features, 19 MB of 256 × 6 × 6


class ImagesParams(Params):
    path: str
    size: Annotated[int, Field(ge=SMALLEST, le=512)]
    pool: bool
    max_skipped: Annotated[int, Field(ge=0)]


def blocks(names: Iterator[str]) -> Iterator[Block]:
    number = 0
    while block := list(islice(names, ROWS)):
        yield Block(block, paths.EMBEDDED_IMAGES / f"part-{number:06}.parquet")
        number += 1


def main() -> None:
    params = read_params(paths.PARAMS, "images", ImagesParams)
    folder = Path(params.path)
    count = sum(1 for _ in image_names(folder))
    if count == 0:
        raise InputError(
            f"{paths.PARAMS}: images.path: {folder} should be a folder with images in it "
            f"({', '.join(IMG_EXTENSIONS)})"
        )
    shutil.rmtree(paths.EMBEDDED_IMAGES, ignore_errors=True)
    embed = partial(
        embed_block, folder=folder, weights=paths.ALEXNET, size=params.size, pool=params.pool
    )
    skipped = {}
    with tqdm(total=count, unit=" images", disable=None) as bar:
        for number, unreadable in enumerate(spread(embed, blocks(image_names(folder)))):
            bar.update(min(ROWS, count - number * ROWS))
            skipped |= unreadable
            if len(skipped) > params.max_skipped:
                name, reason = next(iter(skipped.items()))
                raise InputError(
                    f"{folder}: {len(skipped)} images cannot be used, more than "
                    f"images.max_skipped, {params.max_skipped}; the first: {name} {reason}"
                )
    write_csv(paths.EMBEDDED_IMAGES / "skipped.csv", ("path", "reason"), skipped.items())


if __name__ == "__main__":
    run(main)
