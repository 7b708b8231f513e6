"""Make a small folder of images out of those that come with matplotlib: photographs, drawings,
icons."""

import shutil
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from stages.core.base.command import run

from PIL import Image

from stages.core.base.files import new_folder

CROP = 256  # side of the squares that are cut out of the photograph (512 × 600), pixels
SHIPPED = {
    "photograph": "sample_data/grace_hopper.jpg",
    "drawing": "sample_data/*.png",
    "icon": "images/*_large.png",
}


def main(out: Path) -> None:
    spec = find_spec("matplotlib")  # importing it would take longer
    assert spec is not None and spec.origin is not None
    matplotlib = Path(spec.origin).parent
    with new_folder(out) as images:
        for kind, pattern in SHIPPED.items():
            (images / kind).mkdir()
            for image in (matplotlib / "mpl-data").glob(pattern):
                shutil.copyfile(image, images / kind / image.name)
        photograph = Image.open(images / "photograph/grace_hopper.jpg")
        for left, top in product((0, 256), (0, 172, 344)):
            crop = photograph.crop((left, top, left + CROP, top + CROP))
            crop.save(images / f"photograph/crop_{left}_{top}.png")


if __name__ == "__main__":
    run(main)
