"""Compute AlexNet's features of every image in a folder, as rows of Parquet files."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Annotated

from stages.core.base.command import run

from pydantic import Field
from tqdm import tqdm

from stages.core.alexnet.embedding import IMG_EXTENSIONS, Block, embed_block, image_names
from stages.core.alexnet.network import SMALLEST
from stages.core.base.errors import InputError
from stages.core.base.files import new_folder, write_csv
from stages.core.base.params import PARAMS, Params, read_params
from stages.core.parallel.cluster import spread

ROWS = 512  # per file, at most: 0.5 MB of averaged features, 19 MB of 256 × 6 × 6


class ImagesParams(Params):
    path: str
    size: Annotated[int, Field(ge=SMALLEST, le=512)]
    pool: bool
    max_skipped: Annotated[int, Field(ge=0)]


def blocks(names: Iterator[str], folder: Path) -> Iterator[Block]:
    """Blocks of `ROWS` images, each with a file in the folder for its features."""
    for number in count():
        block = list(islice(names, ROWS))
        if not block:
            return
        yield Block(block, folder / f"part-{number:06}.parquet")


def main(weights: Path, embedded_images: Path) -> None:
    params = read_params("images", ImagesParams)
    images = Path(params.path)
    num_images = sum(1 for _ in image_names(images)) if images.is_dir() else 0
    if num_images == 0:
        raise InputError(
            f"{PARAMS}: images.path: {images} should be a folder with images in it "
            f"({', '.join(IMG_EXTENSIONS)})"
        )
    embed = partial(embed_block, folder=images, weights=weights, size=params.size, pool=params.pool)
    skipped: dict[str, str] = {}
    with (
        new_folder(embedded_images) as folder,
        closing(spread(embed, blocks(image_names(images), folder))) as results,
        tqdm(total=num_images, unit=" images", disable=None) as bar,
    ):
        for unreadable in results:
            bar.update(min(ROWS, num_images - bar.n))
            skipped |= unreadable
            if len(skipped) > params.max_skipped:
                name, reason = next(iter(skipped.items()))
                raise InputError(
                    f"{images}: {len(skipped)} images cannot be read, but images.max_skipped is "
                    f"{params.max_skipped}; the first: {name} {reason}"
                )
        write_csv(folder / "skipped.csv", ("path", "reason"), skipped.items())


if __name__ == "__main__":
    run(main)
