"""Write a classifier of images, with AlexNet below it, as one ONNX file, for programs that have
neither PyTorch nor this project.

The classifier is what the stage `classify_images` wrote, such as
artifacts/image_classifier/model.safetensors. Input: `image` (uint8, N × size × size × 3), the
central squares of images, scaled, in RGB. Output: `probabilities` (float32, N × labels). Size and
labels, in the order of the columns, are in the metadata, as JSON.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.base.command import Parser

import numpy as np
from torch import nn

from stages.core.alexnet.network import MEAN, STD, alexnet
from stages.core.base.errors import explained
from stages.core.base.files import new_file
from stages.core.classifier.model import About, Classifier
from stages.core.exact.frozen import FrozenConv2d, FrozenMaxPool2d
from stages.tools.predict import add_files, load_with_network

try:
    from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
except ModuleNotFoundError:
    sys.exit(
        "error: this needs the package onnx: `pip install -c tests/requirements.txt onnx` "
        "installs it, in the project's folder"
    )

OPSET, IR_VERSION = 13, 7  # those of ONNX 1.8, of 2020: whatever runs ONNX today knows them


class Chain:
    """Operations, each on the result of the one before, and the numbers that they take."""

    def __init__(self, start: str) -> None:
        self.end = start
        self.nodes: list[NodeProto] = []
        self.numbers: list[TensorProto] = []

    def add(
        self, operation: str, numbers: Mapping[str, np.ndarray] | None = None, **settings: Any
    ) -> None:
        """One of https://onnx.ai/onnx/operators, with its inputs after the first, by names."""
        numbers = numbers or {}
        self.numbers += [numpy_helper.from_array(array, name) for name, array in numbers.items()]
        result = f"{operation.lower()}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operation, [self.end, *numbers], [result], result, **settings)
        )
        self.end = result


def exported(model: Classifier, about: About, features: nn.Sequential) -> ModelProto:
    """The whole way from the pixels of a square to probabilities. `features`: AlexNet's layers."""
    chain = Chain("image")
    chain.add("Cast", to=TensorProto.FLOAT)
    chain.add("Transpose", perm=[0, 3, 1, 2])
    chain.add("Div", {"white": np.full(1, 255, np.float32)})
    chain.add("Sub", {"mean_of_pixels": np.array(MEAN, np.float32).reshape(3, 1, 1)})
    chain.add("Div", {"std_of_pixels": np.array(STD, np.float32).reshape(3, 1, 1)})
    for name, layer in features.named_children():
        match layer:
            case FrozenConv2d():
                weights = {
                    f"features.{name}.weight": layer.weight.numpy(force=True),
                    f"features.{name}.bias": layer.bias.numpy(force=True),
                }
                chain.add("Conv", weights, strides=[layer.stride] * 2, pads=[layer.padding] * 4)
            case FrozenMaxPool2d():
                chain.add("MaxPool", kernel_shape=[layer.window] * 2, strides=[layer.stride] * 2)
            case nn.ReLU():
                chain.add("Relu")
            case _:
                raise TypeError(f"features.{name} is a layer of another kind")
    chain.add("GlobalAveragePool")
    chain.add("Flatten")
    chain.add("Sub", {"mean": model.mean.numpy()})
    chain.add("Div", {"std": model.std.numpy()})
    chain.add("Gemm", {"weight": model.weight.numpy(), "bias": model.bias.numpy()}, transB=1)
    chain.add("Softmax", axis=1)
    chain.nodes[-1].output[0] = "probabilities"

    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        chain.nodes,
        "classifier",
        [tensor("image", TensorProto.UINT8, ["N", about.size, about.size, 3])],
        [tensor("probabilities", TensorProto.FLOAT, ["N", len(about.labels)])],
        chain.numbers,
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="convnet-lesson",
        doc_string="A logistic regression on AlexNet's features. image: the central squares of "
        f"images, scaled to {about.size} × {about.size}, in RGB. probabilities: of each label, in "
        "the order of `labels` in the metadata, which are JSON.",
    )
    helper.set_model_props(
        made, {"labels": json.dumps(about.labels), "size": json.dumps(about.size)}
    )
    return made


def main() -> None:
    parser = Parser("stages.tools.export", __doc__)
    add_files(parser)
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    arguments = parser.parse_args()
    with explained():
        model, about = load_with_network(arguments.model, arguments.alexnet)
        made = exported(model, about, alexnet(arguments.alexnet).features)
        with new_file(arguments.out) as file:
            file.write(made.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
