"""Write images as files: a folder for each label, as one has for a task of one's own."""

import zlib
from pathlib import Path

from stages.core.base.command import run

import numpy as np
from PIL import Image

from stages.core.base.files import new_folder
from stages.core.base.labels import LabelNames
from stages.core.base.params import PARAMS, read_params
from stages.core.data.idx import read_dataset

COUNT = 40  # images of each label


def main(out: Path) -> None:
    path = Path(read_params("digits.path", str))
    labels = read_params("digits.labels", LabelNames)
    parts, names = read_dataset(path, labels, f"{PARAMS}: digits.labels")
    images, labels_of_images = parts["train"]
    with new_folder(out) as folder:
        for label, name in enumerate(names):
            (folder / name).mkdir()
            for index in np.flatnonzero(labels_of_images == label)[:COUNT]:  # its place in the file
                file = folder / name / f"{index:05}.png"
                Image.fromarray(images[index]).save(file, compress_type=zlib.Z_RLE)


if __name__ == "__main__":
    run(main)
