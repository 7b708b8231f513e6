"""Write digits as image files: a folder for each label, as one has for a task of one's own."""

import zlib
from pathlib import Path

from stages.core.base.command import run

import numpy as np
from PIL import Image

from stages.core.base.files import new_folder
from stages.core.base.labels import NUM_LABELS
from stages.core.data.idx import read_digits

COUNT = 40  # images of each digit


def main(mnist: Path, out: Path) -> None:
    images, labels = read_digits(mnist, "train")
    with new_folder(out) as folder:
        for digit in range(NUM_LABELS):
            (folder / str(digit)).mkdir()
            for index in np.flatnonzero(labels == digit)[:COUNT]:  # named by its place in MNIST
                path = folder / str(digit) / f"{index:05}.png"
                Image.fromarray(images[index]).save(path, compress_type=zlib.Z_RLE)


if __name__ == "__main__":
    run(main)
