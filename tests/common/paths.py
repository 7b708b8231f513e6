"""Where dvc.yaml has the outputs of the stages, relative to the project's folder."""

from pathlib import Path

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
SKIPPED_IMAGES = Path("artifacts/skipped_images.csv")
IMAGE_CLASSIFIER = Path("artifacts/image_classifier")
INTERPRETATION = Path("artifacts/interpretation")
ALEXNET_IDEAL_INPUTS = Path("artifacts/interpretation/alexnet_ideal_inputs/images.safetensors")
AXES = Path("artifacts/interpretation/axes")
IMAGE_ATTRIBUTIONS = INTERPRETATION / "image_attributions"
REPORT = Path("artifacts/report/index.html")


def weights(model: str) -> Path:
    return Path("artifacts/models", f"{model}.safetensors")


def snapshots(model: str) -> Path:
    return Path("artifacts/snapshots", f"{model}.safetensors")


def curves(model: str) -> Path:
    return Path("artifacts/curves", f"{model}.csv")


def predictions(model: str) -> Path:
    return Path("artifacts/predictions", f"{model}.csv")


def metrics(model: str) -> Path:
    return Path("artifacts/metrics", f"{model}.json")


def figure(model: str, name: str) -> Path:
    return Path("artifacts/figures", model, f"{name}.png")


def ideal_inputs(model: str) -> Path:
    return Path("artifacts/interpretation/ideal_inputs", f"{model}.safetensors")


def attributions(model: str) -> Path:
    return INTERPRETATION / "attributions" / f"{model}.safetensors"
