"""A page that is one file: its style, scripts, pictures and numbers are inside of it.

It says so to the browser too: its Content-Security-Policy lets no request through, and no script or
style but its own.
"""

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from stages.core.base.values import percent, rounded
from stages.core.page import chart

TEMPLATES = Path(__file__).parent / "templates"
GREYS = 64  # that a grey picture keeps: the eye sees no difference, and it is a third smaller


class Picture(NamedTuple):
    """A PNG or JPEG as a data: URI, and its width and height in pixels."""

    uri: str
    width: int
    height: int


def picture(pixels: np.ndarray, greys: int = GREYS) -> Picture:
    """Pixels (uint8) as a PNG; grey ones, height × width, in so many greys from black to white: a
    power of two, of which 256 keep every pixel as it is."""
    if pixels.ndim == 2:
        levels = pixels // (256 // greys)
        pixels = (levels.astype(int) * 255 // (greys - 1)).astype(np.uint8)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format="png", compress_type=zlib.Z_RLE)  # as figures are, for the same reason
    content = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/png;base64,{content}", *image.size)


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array for the script: its shape, and its elements, little-endian, in base64."""
    elements = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {"shape": array.shape, "elements": base64.b64encode(elements).decode()}


def render(
    template: str, scripts: Sequence[str], data: dict[str, Any], *, engine: str = "", **values: Any
) -> bytes:
    """The page of that template, with those scripts, which find `data` in it.

    `engine`: a script that runs before them, and that they may run in workers, which the page's
    policy then allows; they find its text in the element `engine`.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["frame"] = chart
    environment.filters["shape"] = lambda shape: "\u00a0×\u00a0".join(map(str, shape))
    environment.filters |= {"percent": percent, "rounded": rounded, "spelled": spelled}
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in scripts)
    engine = (TEMPLATES / engine).read_text(encoding="utf-8") if engine else ""
    page = environment.get_template(template).render(
        style=style,
        script=script,
        engine=engine,
        style_digest=digest(style),
        script_digest=digest(script),
        engine_digest=digest(engine),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        **values,
    )
    return page.encode()


def spelled(number: int) -> str:
    """A number in a sentence: in letters up to ten."""
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return words[number] if number < len(words) else f"{number:,}"


def digest(text: str) -> str:
    """As a Content-Security-Policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
