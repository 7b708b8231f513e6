"""Which pixels speak for an answer, on the page: of models that do not answer in it, and of the
classifier of one's own images, some cases that the stages found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.base.errors import InputError
from stages.core.base.tables import read_table
from stages.core.base.tensors import Shapes, load_tensors
from stages.core.classifier.pictures import thumbnail
from stages.core.page.images import as_jpeg, short_label
from stages.core.page.page import packed

CASES = 12  # of a model, at most
MODELS = 2  # with cases, at most
IMAGES = 6  # of one's own, at most
SIDE = 128  # of a picture of one of them, pixels
LARGEST = np.float32(127)  # of int8

MAPS: Shapes = {
    "gradient_times_input": ("float32", ("cases", "height", "width")),
    "occlusion": ("float32", ("cases", "rows", "columns")),
}
CASE: Shapes = {
    **MAPS,
    "numbers": ("int64", ("cases",)),
    "images": ("uint8", ("cases", "height", "width")),
    "pairs": ("int64", ("cases", 2)),
    "leads": ("float32", ("cases",)),
}


def maps_file(folder: Path, model: str) -> Path:
    return folder / "attributions" / f"{model}.safetensors"


def why_files(folder: Path) -> tuple[Path, Path]:
    """Those of one's own images: the table, and the maps."""
    below = folder / "image_attributions"
    return below / "images.csv", below / "maps.safetensors"


def in_bytes(maps: np.ndarray) -> dict[str, Any]:
    """Maps (N × height × width) for the script, as bytes, and what the largest of each map, 127,
    stands for."""
    largest = np.abs(maps).max((1, 2))
    shares = maps / np.where(largest == 0, np.float32(1), largest)[:, None, None]
    return packed(np.rint(shares * LARGEST).astype(np.int8)) | {"largest": largest.tolist()}


def both(tensors: Mapping[str, np.ndarray], count: int) -> dict[str, Any]:
    """Of the first cases, what the two methods found."""
    return {
        "products": in_bytes(tensors["gradient_times_input"][:count]),
        "hidden": in_bytes(tensors["occlusion"][:count]),
    }


def of_model(path: Path, labels: Sequence[str]) -> dict[str, Any]:
    """The cases in a file. Raises InputError if it holds something else."""
    tensors = load_tensors(path, CASE)
    pairs = tensors["pairs"]
    if pairs.min() < 0 or pairs.max() >= len(labels):
        raise InputError(f"{path}: pairs should be from 0 to {len(labels) - 1}")
    return {
        "images": packed(tensors["images"][:CASES]),
        "pairs": [[labels[label] for label in pair] for pair in pairs[:CASES].tolist()],
        "leads": tensors["leads"][:CASES].tolist(),
        **both(tensors, CASES),
    }


def of_images(table: Path, maps: Path, folder: Path, size: int) -> dict[str, Any]:
    """The cases among one's own images, with small pictures of what the network sees of these, at
    size × size pixels. Raises InputError if a file holds something else, or an image is gone."""
    rows = read_table(
        table,
        lambda row: (row["path"], row["label"], row["predicted"], row["rival"], float(row["lead"])),
    )
    tensors = load_tensors(maps, MAPS)
    cells = (tensors[name].shape[1] for name in MAPS)
    if len(rows) != len(tensors["occlusion"]):
        raise InputError(
            f"{maps} has {len(tensors['occlusion'])} maps, but {table} {len(rows)} rows"
        )
    return {
        "wrong": rows[0][1] != rows[0][2],
        "pictures": [as_jpeg(thumbnail(folder, row[0], size, SIDE)) for row in rows[:IMAGES]],
        "pairs": [list(map(short_label, row[2:4])) for row in rows[:IMAGES]],
        "leads": [row[4] for row in rows[:IMAGES]],
        "cells": [size / -(-size // count) for count in cells],  # across a picture
        **both(tensors, IMAGES),
    }


def attributions(
    folder: Path,
    choices: Mapping[str, Any],
    models: Sequence[str],
    labels: Sequence[str],
    own: tuple[Path, int],
) -> dict[str, Any]:
    """What the stages wrote into a folder, for the script: of some models, and of one's own images,
    in a folder of their own and at that size. `choices`: the sections of params.yaml."""
    of_digits = choices["attributions"]
    return {
        "window": of_digits["window"],
        "stride": of_digits["stride"],
        "models": {name: of_model(maps_file(folder, name), labels) for name in models[:MODELS]},
        "images": of_images(*why_files(folder), *own),
    }
