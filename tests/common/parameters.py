"""params.yaml: what its sections are called, and changes to it."""

from pathlib import Path
from typing import Any

import yaml

from common.project import ROOT

SNAPSHOTS = "train.snapshots"
UNITS = "models.mlp.layers.layer1.units"  # hidden units


def section(model: str) -> str:
    """The section of a model, by its full name."""
    return f"models.{model}"


def read(folder: Path = ROOT) -> dict[str, Any]:
    return yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))


def write(params: dict[str, Any], folder: Path = Path()) -> None:
    text = yaml.safe_dump(params, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


MODELS = tuple(read()["models"])


def value(params: dict[str, Any], name: str) -> Any:
    """What stands under a full name; dots lead downwards."""
    for key in name.split("."):
        params = params[key]
    return params


def of_model(params: dict[str, Any], model: str) -> dict[str, Any]:
    return value(params, section(model))


def set_value(params: dict[str, Any], name: str, new: Any) -> None:
    *above, key = name.split(".")
    (value(params, ".".join(above)) if above else params)[key] = new


def change(folder: Path, name: str, **values: Any) -> None:
    """Change a section of a project's params.yaml."""
    params = read(folder)
    value(params, name).update(values)
    write(params, folder)


def change_model(folder: Path, model: str, **values: Any) -> None:
    change(folder, section(model), **values)


def small_pictures(params: dict[str, Any]) -> None:
    """For emulated processors, which are some fifty times slower."""
    params["embed"]["size"] = params["images"]["size"] = 63
    params["photo"]["size"] = 127
    params["classify_images"]["weight_decays"] = [0.1]
    params["exciting_patches"] |= {"units": 2, "patches": 2}
    params["alexnet_patches"] |= {"images": 4, "channels": 2, "patches": 2}
    params["ideal_inputs"] |= {"units": 2, "steps": 2}
    params["alexnet_ideal_inputs"] |= {"channels": 1, "steps": 2}
    params["attributions"] |= {"right": 2, "mistakes": 2, "window": 14, "stride": 14}
    params["image_attributions"] |= {"images": 1, "places": 2}
    params["principal_axes"] |= {"digits": 20, "images": 50}


def few_images(params: dict[str, Any]) -> None:
    """For what must hold however many there are."""
    small_pictures(params)
    params["digits"] |= {"train": 32, "val": 8, "test": 8}
    for model in MODELS:
        of_model(params, model)["batch_size"] = 16
    params["data_efficiency"]["counts"] = [32]
    for kind in ("pixels", "features"):
        params["data_efficiency"][kind]["batch_size"] = 16


def change_units(folder: Path, count: int) -> None:
    """Give the MLP another number of hidden units."""
    section, _, key = UNITS.rpartition(".")
    change(folder, section, **{key: count})
