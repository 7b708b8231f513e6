"""Make a small folder of images from those that matplotlib ships: photographs, drawings, icons."""

import shutil
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from stages.core.command import run

from PIL import Image

from stages import paths
from stages.core.files import new_file

CROP = 256  # side of the squares that are cut from the photograph of 512 × 600, pixels
SHIPPED = {
    "photograph": "sample_data/grace_hopper.jpg",
    "drawing": "sample_data/*.png",
    "icon": "images/*_large.png",
}


def main() -> None:
    shutil.rmtree(paths.SAMPLE_IMAGES, ignore_errors=True)
    matplotlib = Path(find_spec("matplotlib").origin).parent  # importing it would take longer
    for kind, pattern in SHIPPED.items():
        folder = paths.SAMPLE_IMAGES / kind
        folder.mkdir(parents=True)
        for image in (matplotlib / "mpl-data").glob(pattern):
            shutil.copyfile(image, folder / image.name)
    photograph = Image.open(paths.SAMPLE_IMAGES / "photograph/grace_hopper.jpg")
    for left, top in product((0, 256), (0, 172, 344)):
        crop = photograph.crop((left, top, left + CROP, top + CROP))
        with new_file(paths.SAMPLE_IMAGES / f"photograph/crop_{left}_{top}.png") as file:
            crop.save(file, format="png")


if __name__ == "__main__":
    run(main)
