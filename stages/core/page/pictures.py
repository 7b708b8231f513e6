"""The digits, the photograph and the figures, as pictures in the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stages.core.drawing.tiles import tiled
from stages.core.learning.predictions import Prediction, worst_mistakes
from stages.core.page.page import Picture, packed, picture

ROWS = 6  # of the sample of digits
MISTAKES = 10  # of each model, at most
PHOTO_SIDE, CHANNEL_SIDE, SLIDE_SIDE = 320, 160, 128  # pixels, at most
FILTERS = 6  # of AlexNet's first, that the reader can slide over the photograph
GREY = 128  # between tiles


def sample(images: np.ndarray, labels: np.ndarray, num_labels: int) -> Picture:
    """The first images of each label, a column each; black where there are no more."""
    tiles = np.zeros((ROWS, num_labels, *images.shape[1:]), np.uint8)
    for label in range(num_labels):
        first = images[labels == label][:ROWS]
        tiles[: len(first), label] = first
    return picture(tiled(tiles.reshape(-1, *images.shape[1:]), num_labels, (1, 1), GREY))


def mistakes(
    images: np.ndarray, predictions: Sequence[Prediction], labels: Sequence[str]
) -> list[dict[str, Any]]:
    """The worst of them, with the numbers and pictures of the test images."""
    return [
        {
            "image": index,
            "picture": picture(images[index]),
            "actual": labels[predictions[index].actual],
            "predicted": labels[predictions[index].predicted],
            "probability": predictions[index].probability,
        }
        for index in worst_mistakes(predictions)[:MISTAKES]
    ]


def photograph(photo: Image.Image) -> tuple[Picture, Picture]:
    """It, and its three channels side by side."""
    small = photo.reduce(-(-photo.width // PHOTO_SIDE))
    channels = np.asarray(photo.reduce(-(-photo.width // CHANNEL_SIDE))).transpose(2, 0, 1)
    return picture(np.asarray(small)), picture(tiled(channels, 3, (4, 4), GREY))


def to_slide(photo: Image.Image, filters: np.ndarray) -> dict[str, Any]:
    """The photograph in grey, and those filters (outputs × 3 × side × side) that respond to grey
    most, each summed over its three channels: where these are equal, that gives the same sums."""
    grey = np.asarray(photo.convert("L").reduce(-(-photo.width // SLIDE_SIDE)))
    red, green, blue = filters.transpose(1, 0, 2, 3)
    summed = red + green + blue
    numbers = np.argsort(-np.square(summed.astype(float)).max((1, 2)), kind="stable")[:FILTERS]
    return {"photo": packed(grey), "filters": packed(summed[numbers]), "numbers": numbers.tolist()}


def feature_maps(features: np.ndarray) -> Picture:
    """Feature maps 1 × channels × height × width, none below zero, from black to their largest."""
    shares = features[0] / (features.max() or 1)
    greys = (shares * np.float32(255)).astype(np.uint8)
    return picture(tiled(greys, 32, (1, 1), GREY))


def fitting(figures: Mapping[str, Path], room: int) -> dict[str, Picture | None]:
    """The figures that fit into so many bytes, in turn; nothing for those that do not."""
    pictures = {}
    for name, path in figures.items():
        found = picture(np.asarray(Image.open(path)))
        fits = len(found.uri) <= room
        pictures[name] = found if fits else None
        room -= len(found.uri) if fits else 0
    return pictures
