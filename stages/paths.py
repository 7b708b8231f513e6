"""Where everything of data/ and artifacts/ lies, relative to the project's folder."""

from pathlib import Path

MODELS = ("logistic", "mlp", "cnn")

PARAMS = Path("params.yaml")

MNIST = Path("data/mnist")
ALEXNET = Path("data/alexnet/features.safetensors")
PHOTO = Path("data/photo.png")
DIGITS = Path("data/digits.safetensors")

CONVOLUTION = Path("artifacts/convolution")
ALEXNET_MAPS = Path("artifacts/alexnet")


def weights(model: str) -> Path:
    return Path("artifacts/models", f"{model}.safetensors")


def curves(model: str) -> Path:
    return Path("artifacts/curves", f"{model}.csv")


def metrics(model: str) -> Path:
    return Path("artifacts/metrics", f"{model}.json")


def figure(model: str, name: str) -> Path:
    return Path("artifacts/figures", model, f"{name}.png")
