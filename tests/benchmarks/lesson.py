"""The lesson as one script, written as its notebook is: what the pipeline is measured against.

It makes what the pipeline makes, in a new folder OUT, from the downloads in `data`:

    python tests/benchmarks/lesson.py OUT
"""

import csv
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from torchvision import transforms

LEARNING_RATES = {"logistic": 0.01, "mlp": 0.005, "cnn": 0.01}


class LogisticRegression(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(28 * 28, 10)

    def forward(self, img):
        return self.layer(img.view(-1, 28 * 28))


class MLP(nn.Module):
    def __init__(self, num_hidden=30):
        super().__init__()
        self.layer1 = nn.Linear(28 * 28, num_hidden)
        self.layer2 = nn.Linear(num_hidden, 10)

    def forward(self, img):
        return self.layer2(F.relu(self.layer1(img.view(-1, 28 * 28))))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=4, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(in_channels=4, out_channels=8, kernel_size=3, padding=1)
        self.fc = nn.Linear(8 * 7 * 7, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc(x.view(-1, 8 * 7 * 7))


MODELS = {"logistic": LogisticRegression, "mlp": MLP, "cnn": CNN}


def get_accuracy(model, data, batch_size=64):
    correct, total = 0, 0
    for imgs, labels in DataLoader(data, batch_size=batch_size):
        output = model(imgs)
        pred = output.max(1, keepdim=True)[1]
        correct += pred.eq(labels.view_as(pred)).sum().item()
        total += imgs.shape[0]
    return correct / total


def train(model, optimizer, train_data, val_data, sampler=None):
    """Three epochs of batches of 64; a row of iteration, loss and both accuracies for each."""
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(
        train_data, batch_size=64, shuffle=sampler is None, sampler=sampler, drop_last=True
    )
    curve = []
    for _ in range(3):
        for imgs, labels in loader:
            loss = criterion(model(imgs), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            curve.append(
                (
                    len(curve) + 1,
                    loss.item(),
                    get_accuracy(model, train_data),
                    get_accuracy(model, val_data),
                )
            )
    return curve


class MNIST(torchvision.datasets.MNIST):
    raw_folder = "data/mnist"  # where the pipeline keeps the files


def load_digits():
    """Lists of an image and its label each, to train on and to validate on."""
    mnist = MNIST("data", train=True, transform=transforms.ToTensor())
    return [mnist[index] for index in range(2000)], [mnist[index] for index in range(2000, 2500)]


def plot_curves(curve, folder):
    iterations, losses, train_accuracies, val_accuracies = zip(*curve, strict=True)
    plt.figure()
    plt.title("Learning curve: loss of the training batch")
    plt.plot(iterations, losses, label="Train")
    plt.xlabel("Iterations")
    plt.ylabel("Loss")
    plt.savefig(folder / "loss.png")
    plt.close()

    plt.figure()
    plt.title("Learning curve: accuracy")
    plt.plot(iterations, train_accuracies, label="Train")
    plt.plot(iterations, val_accuracies, label="Validation")
    plt.xlabel("Iterations")
    plt.ylabel("Accuracy")
    plt.legend(loc="best")
    plt.savefig(folder / "accuracy.png")
    plt.close()


def plot_tiles(tiles, rows, columns, path, cmap="gray"):
    """Each tile in axes of its own."""
    plt.figure(figsize=(columns, rows))
    for index, tile in enumerate(tiles):
        plt.subplot(rows, columns, index + 1)
        plt.imshow(tile, cmap=cmap)
    plt.savefig(path)
    plt.close()


def plot_weights(name, model, folder):
    if name == "logistic":
        plot_tiles(model.layer.weight.detach().view(-1, 28, 28), 2, 5, folder / "weights.png")
    elif name == "mlp":
        plot_tiles(model.layer1.weight.detach().view(-1, 28, 28), 6, 5, folder / "weights.png")
    else:
        plot_tiles(model.conv1.weight.detach().view(-1, 3, 3), 1, 4, folder / "conv1_weights.png")
        plot_tiles(model.conv2.weight.detach().view(-1, 3, 3), 8, 4, folder / "conv2_weights.png")


def classifiers(out):
    train_data, val_data = load_digits()
    test_data = list(MNIST("data", train=False, transform=transforms.ToTensor()))
    for name, build in MODELS.items():
        torch.manual_seed(0)
        model = build()
        optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATES[name])
        curve = train(model, optimizer, train_data, val_data)
        metrics = dict(
            zip(("loss", "train_accuracy", "val_accuracy"), curve[-1][1:], strict=True),
            test_accuracy=get_accuracy(model, test_data),
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        )
        folder = out / name
        folder.mkdir()
        save_file(model.state_dict(), folder / "model.safetensors")
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2), encoding="utf-8")
        with (folder / "curve.csv").open("w", encoding="utf-8") as file:
            csv.writer(file).writerows(curve)
        plot_curves(curve, folder)
        plot_weights(name, model, folder)


def convolutions(photo, out):
    rows = []
    for name, in_channels, padding, stride in (
        ("no_padding", 3, 0, 1),
        ("padding", 3, 1, 1),
        ("padding_and_stride", 3, 1, 2),
        ("five_channels", 5, 1, 1),
    ):
        conv = nn.Conv2d(in_channels, 10, kernel_size=3, padding=padding, stride=stride)
        x = photo if in_channels == 3 else torch.zeros(1, in_channels, 631, 631)
        y = conv(x)
        pooled = F.max_pool2d(y, 2)
        rows.append((name, tuple(x.shape), tuple(y.shape), tuple(pooled.shape)))
        if in_channels == 3:
            plot_tiles([*y[0].detach()], 2, 5, out / f"{name}.png")
            plot_tiles([*pooled[0].detach()], 2, 5, out / f"{name}_pooled.png")
    with (out / "shapes.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def alexnet_maps(photo, weights, out):
    alexnet = torchvision.models.alexnet()
    alexnet.load_state_dict(load_file(weights), strict=False)  # the classifier is not used
    alexnet.eval()
    (out / "architecture.txt").write_text(str(alexnet), encoding="utf-8")
    filters = alexnet.features[0].weight.detach()
    scaled = (filters - filters.min()) / (filters.max() - filters.min())
    plot_tiles(scaled.permute(0, 2, 3, 1), 8, 8, out / "filters.png")
    x, rows = photo, []
    for index, layer in enumerate(alexnet.features):
        x = layer(x)
        rows.append((index, type(layer).__name__, tuple(x.shape)))
        if index in (0, 1, 5):
            plot_tiles(x[0, :64].detach(), 8, 8, out / f"features{index}.png")
    save_file({"features": x.detach()}, out / "features.safetensors")
    with (out / "shapes.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def main(out):
    out.mkdir(parents=True)
    classifiers(out)
    to_square = transforms.Compose(
        [transforms.Resize(631), transforms.CenterCrop(631), transforms.ToTensor()]
    )
    photo = to_square(Image.open("data/grace_hopper.jpg")).unsqueeze(0)
    convolutions(photo, out)
    alexnet_maps(photo, "data/alexnet/features.safetensors", out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
