"""How the maps and filters of AlexNet are drawn, and how its input is normalized."""

import numpy as np
import pytest
import torch

from stages import alexnet_maps
from stages.core.alexnet.network import normalized


def test_normalization_is_imagenet_s():
    image = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert torch.equal(normalized(image), torch.zeros(1, 3, 2, 2))
    ours = normalized(torch.ones(1, 3, 2, 2))[0, :, 0, 0]
    assert ours.tolist() == pytest.approx([2.2489, 2.4286, 2.6400], abs=1e-4)


def test_maps_are_numbered_and_the_first_64_drawn():
    maps = torch.arange(192.0).view(1, 192, 1, 1).repeat(1, 1, 38, 38)
    figure = alexnet_maps.draw_maps("After a layer", maps, "gray")
    title, heading, *labels = (text.get_text() for text in figure.texts)
    assert title == "After a layer"
    assert heading == "The first 64 of 192 feature maps, 38 × 38 each"
    assert labels == [str(channel) for channel in range(64)]
    [image] = figure.artists
    tiles = image.pixels[15 :: 38 * 4 + 4 + 15, :: 38 * 4 + 4, 0].astype(int)
    assert tiles.shape == (11, 6)
    greys = (np.arange(64) * 256 / 63).clip(0, 255)
    assert np.abs(tiles.ravel()[:64] - greys).max() <= 1


@pytest.mark.parametrize("cmap", ["gray", "viridis"])
def test_zero_is_the_middle_of_the_scale_or_its_lower_end(cmap):
    """Wherever the values lie: with some below zero the middle, else the end."""
    signed = torch.linspace(-2, 5, 64).view(1, 64, 1, 1).repeat(1, 1, 9, 9)
    figure = alexnet_maps.draw_maps("", signed, cmap)
    bar = figure.axes[0]._colorbar
    assert bar.norm(0) == 0.5 and bar.norm(5) == 1 and bar.cmap.name == cmap
    figure = alexnet_maps.draw_maps("", signed.clamp(min=0), cmap)
    bar = figure.axes[0]._colorbar
    assert bar.norm(0) == 0 and bar.norm(5) == 1


def test_filters_are_drawn_in_their_colours():
    kernels = np.zeros((64, 3, 11, 11), np.float32)
    kernels[:, 0] = 1  # red, all of them
    kernels[9, :] = -1  # but one, which is black
    figure = alexnet_maps.draw_filters(kernels)
    [image] = figure.artists
    tiles = image.pixels[15 + 55 :: 110 + 4 + 15, 55 :: 110 + 4]
    assert tiles.shape == (8, 8, 4)
    assert tiles[0, 0].tolist() == [255, 127, 127, 255]  # zero is the middle
    assert tiles[1, 1].tolist() == [0, 0, 0, 255]
