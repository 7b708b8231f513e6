"""The models, and where all of data/ and artifacts/ lies, relative to the project's folder."""

from pathlib import Path

MODELS = {  # and what pictures call them
    "logistic": "Logistic regression",
    "mlp": "MLP",
    "cnn": "CNN",
    "probe": "Logistic regression on features",
}

PARAMS = Path("params.yaml")

MNIST = Path("data/mnist")
ALEXNET = Path("data/alexnet/features.safetensors")
PHOTO = Path("data/photo.png")
DIGITS = Path("data/digits.safetensors")
EMBEDDED_DIGITS = Path("data/embedded_digits.safetensors")
SAMPLE_IMAGES = Path("data/sample_images")

CONVOLUTION = Path("artifacts/convolution")
ALEXNET_MAPS = Path("artifacts/alexnet")
DATA_EFFICIENCY = Path("artifacts/data_efficiency")
EMBEDDED_IMAGES = Path("artifacts/embedded_images")
REPORT = Path("artifacts/report/index.html")


def digits(model: str) -> Path:
    """What a model learns from: the probe from AlexNet's features, the others from pixels."""
    return EMBEDDED_DIGITS if model == "probe" else DIGITS


def weights(model: str) -> Path:
    return Path("artifacts/models", f"{model}.safetensors")


def snapshots(model: str) -> Path:
    return Path("artifacts/snapshots", f"{model}.safetensors")


def curves(model: str) -> Path:
    return Path("artifacts/curves", f"{model}.csv")


def metrics(model: str) -> Path:
    return Path("artifacts/metrics", f"{model}.json")


def figure(model: str, name: str) -> Path:
    return Path("artifacts/figures", model, f"{name}.png")
