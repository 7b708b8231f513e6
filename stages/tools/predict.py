"""Print what a classifier says of images, as CSV: their paths, the likeliest labels, and the
probabilities of those (0 to 1). Of a folder, all images in it and in its subfolders.

The classifier is what the stage `classify_images` wrote, such as
artifacts/image_classifier/model.safetensors, here or in another copy of the project.
"""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from stages.core.base.command import Parser

import numpy as np
import torch

from stages.core.alexnet.embedding import (
    Skipped,
    batches,
    embed_images,
    printable,
    without_clutter,
)
from stages.core.base.errors import InputError, explained
from stages.core.base.files import csv_writer, file_digest
from stages.core.classifier.model import (
    About,
    Classifier,
    likeliest,
    load_classifier,
)
from stages.core.parallel.threads import in_threads

ALEXNET = Path("data/alexnet/features.safetensors")


def images_in(path: Path) -> Iterator[str]:
    """The path of a file, or those of the files in a folder that may be images, in a fixed order:
    its own before those of its subfolders. Raises OSError if there is neither."""
    if not path.is_dir():
        path.stat()
        yield str(path)
        return
    for place, folders, names in os.walk(path):
        below = Path(place).relative_to(path)
        found = [(below / name).as_posix() for name in sorted(names, key=os.fsencode)]
        yield from (str(path / name) for name in without_clutter(found)[0])
        folders.sort(key=os.fsencode)


def load_with_network(model_file: Path, alexnet: Path) -> tuple[Classifier, About]:
    """Read a classifier. Raises InputError if there is none, or if AlexNet's file is not the one on
    whose features it was trained."""
    if not model_file.exists():  # DVC removes it before the stage runs, which may have failed
        raise InputError(
            f"there is no {model_file}; `dvc repro classify_images` writes a classifier"
        )
    model, about = load_classifier(model_file)
    if not alexnet.exists():
        raise InputError(f"there is no {alexnet}; `dvc repro download_alexnet` fetches it")
    if file_digest(alexnet) != about.alexnet:
        raise InputError(
            f"{model_file} was trained on the features of another network than {alexnet}"
        )
    return model, about


def predict(model_file: Path, alexnet: Path, given: Sequence[Path]) -> None:
    """Print a row for each image, and a line on standard error for each that cannot be read; raises
    InputError at the end if there is one, or if there is no image."""
    model, about = load_with_network(model_file, alexnet)
    named = {str(path) for path in given}
    paths = [found for path in given for found in images_in(path)]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as in files, whatever the locale
    table = csv_writer(sys.stdout)
    table.writerow(("path", "label", "probability"))
    embed = partial(embed_images, folder=Path(), weights=alexnet, size=about.size, pool=True)
    num_rows = 0
    unreadable: list[Skipped] = []
    for batch in in_threads(embed, batches(paths)):
        if batch.rows:
            features = torch.from_numpy(np.stack([row.features for row in batch.rows]))
            found, shares = likeliest(model.probabilities(features))
            table.writerows(
                (row.path, about.labels[label], share)
                for (row, _), label, share in zip(batch.rows, found, shares, strict=True)
            )
        num_rows += len(batch.rows)
        for skipped in batch.skipped:
            if skipped.is_image or skipped.path in named:
                unreadable.append(skipped)
                print(f"{skipped.path} {skipped.reason}", file=sys.stderr)
    if unreadable:
        first, *more = unreadable
        others = f" (and {len(more):,} more, above)" if more else ""
        raise InputError(f"not every image can be read: {first.path} {first.reason}{others}")
    if not num_rows:
        raise InputError(f"{', '.join(map(printable, map(str, given)))}: there is no image in it")


def add_files(parser: Parser) -> None:
    """Arguments for the files of a classifier and of AlexNet."""
    parser.add_argument("model", type=Path, help="the classifier's file")
    parser.add_argument(
        "--alexnet", type=Path, default=ALEXNET, help=f"the network's file (default: {ALEXNET})"
    )


def main() -> None:
    parser = Parser("stages.tools.predict", __doc__)
    add_files(parser)
    parser.add_argument("images", type=Path, nargs="+", help="images, or folders with images")
    arguments = parser.parse_args()
    with explained():
        predict(arguments.model, arguments.alexnet, arguments.images)


if __name__ == "__main__":
    main()
