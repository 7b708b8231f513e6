"""Compute AlexNet's features of every image in a folder: a row each, in files of Parquet."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count, islice
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
from stages.core.files import new_folder, write_csv
from stages.core.params import Params, read_params

ROWS = 512  # of a file, at most: 0.5 MB of averaged features, 19 MB of 256 × 6 × 6


class ImagesParams(Params):
    path: str
    size: Annotated[int, Field(ge=SMALLEST, le=512)]
    pool: bool
    max_skipped: Annotated[int, Field(ge=0)]


def blocks(names: Iterator[str], folder: Path) -> Iterator[Block]:
    """The images, and in the folder a file for the features of each `ROWS` of them."""
    for number in count():
        block = list(islice(names, ROWS))
        if not block:
            return
        yield Block(block, folder / f"part-{number:06}.parquet")


def main() -> None:
    params = read_params(paths.PARAMS, "images", ImagesParams)
    images = Path(params.path)
    num_images = sum(1 for _ in image_names(images)) if images.is_dir() else 0
    if num_images == 0:
        raise InputError(
            f"{paths.PARAMS}: images.path: {images} should be a folder with images in it "
            f"({', '.join(IMG_EXTENSIONS)})"
        )
    embed = partial(
        embed_block, folder=images, weights=paths.ALEXNET, size=params.size, pool=params.pool
    )
    skipped: dict[str, str] = {}
    with (
        new_folder(paths.EMBEDDED_IMAGES) as folder,
        closing(spread(embed, blocks(image_names(images), folder))) as results,
        tqdm(total=num_images, unit=" images", disable=None) as bar,
    ):
        for unreadable in results:
            bar.update(min(ROWS, num_images - bar.n))
            skipped |= unreadable
            if len(skipped) > params.max_skipped:
                name, reason = next(iter(skipped.items()))
                raise InputError(
                    f"{images}: {len(skipped)} images cannot be used, more than "
                    f"images.max_skipped, {params.max_skipped}; the first: {name} {reason}"
                )
        write_csv(folder / "skipped.csv", ("path", "reason"), skipped.items())


if __name__ == "__main__":
    run(main)
