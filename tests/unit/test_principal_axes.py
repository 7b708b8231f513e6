"""Where images lie: principal axes and nearest neighbours against other ways to find them; the
figure's marks; and the stage with folders of any kind."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import AlexNet

from stages.core.alexnet.embedding import Embedded, write_rows
from stages.core.base.labels import DIGITS, in_metadata
from stages.core.base.tensors import load_tensors, save_tensors
from stages.core.classifier.statistics import wilson
from stages.core.data.digits import SPLITS
from stages.core.data.squares import read_image
from stages.core.drawing.figure import save_figure
from stages.core.drawing.frame import EDGE, WIDTH, frames
from stages.core.drawing.marks import COLOURS, marks_of
from stages.core.drawing.points import Panel, draw_points, in_turn, put, stamp
from stages.core.interpretation import nearest
from stages.core.interpretation.axes import AXES, eigenvectors, principal_axes
from stages.core.interpretation.nearest import nearest_neighbours

from common import parameters, paths
from common.artifacts import drawn, rows_of
from common.audit import audited
from common.stages import run_stage

pytestmark = pytest.mark.usefixtures("one_thread")


def cloud(count, num_dims, seed=0, decay=0.7, scale=1.0):
    """Points that spread less and less along orthogonal directions."""
    random = np.random.default_rng(seed)
    rank = min(count, num_dims)
    directions = np.linalg.qr(random.normal(size=(num_dims, rank)))[0].T
    along = random.normal(size=(count, rank)) * decay ** np.arange(rank)
    points = (along @ directions + random.normal(size=num_dims)) * scale
    return torch.from_numpy(points.astype(np.float32))


def by_svd(points):
    """Axes (columns), places and shares by LAPACK, with the same rule for signs."""
    x = points.double().numpy()
    x = x - x.mean(0)
    _, values, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[:AXES].T
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(AXES)])
    return axes, x @ axes, (values**2 / (values**2).sum())[:AXES]


@pytest.mark.parametrize(
    ("count", "num_dims", "scale"),
    [
        (300, 50, 1),
        (20, 400, 1),
        (12, 12, 1),
        (3, 2, 1),
        (200, 40, 1e-30),
        (200, 40, 1e30),
        (200, 40, 255),
    ],
)
def test_the_axes_are_those_of_a_singular_value_decomposition(count, num_dims, scale):
    """Products round to about 2^-21 of the largest number, and the directions by some times that,
    where the next variance is half as large: 1e-5 is far more than they are off, and far less than
    could be seen."""
    points = cloud(count, num_dims, scale=scale)
    found = principal_axes(points)
    axes, places, shares = by_svd(points)
    assert np.abs(found.axes - axes).max() < 1e-5
    assert np.abs(found.places - places).max() < 1e-5 * np.abs(places).max()
    assert found.shares == pytest.approx(shares.tolist(), abs=1e-6)
    assert np.abs(found.axes.T @ found.axes - np.eye(2)).max() < 1e-6
    assert found.shares == sorted(found.shares, reverse=True)


def test_slowly_falling_variances_still_converge():
    """Of pure noise, each variance is nearly as large as the one before: what counts is that hardly
    any variance is missed."""
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 100)).astype(np.float32))
    _, _, shares = by_svd(points)
    assert sum(principal_axes(points).shares) > 0.99 * shares.sum()


def test_neither_the_order_of_the_images_nor_threads_change_a_byte():
    points = cloud(257, 60)
    order = np.random.default_rng(0).permutation(257)
    found, permuted = principal_axes(points), principal_axes(points[order])
    torch.set_num_threads(2)
    threaded = principal_axes(points.clone())
    for other, places in ((permuted, found.places[order]), (threaded, found.places)):
        assert other.axes.tobytes() == found.axes.tobytes()
        assert other.places.tobytes() == places.tobytes()
        assert other.shares == found.shares


def test_all_sums_are_exact(monkeypatch):
    monkeypatch.setattr(nearest, "in_threads", map)  # the audit sees its own thread alone
    with audited() as audit:
        principal_axes(cloud(100, 30))
        nearest_neighbours(cloud(100, 30))
    assert {"mm", "sum"} <= audit.seen


@pytest.mark.parametrize(
    ("points", "shares"),
    [
        ([[3.0, 4.0, 5.0]], [0, 0]),  # one image
        ([[3.0, 4.0, 5.0]] * 4, [0, 0]),  # equal images
        ([[0.1, 0.2, 0.3]] * 3, [0, 0]),  # whose mean is not a float
        ([[0.0, 0, 0], [3, 4, 0]], [1, 0]),  # two
        ([[1.0], [2], [4]], [1, 0]),  # in one dimension
        (
            [[0.1, 0.2, 0.3], [0.2, 0.4, 0.6], [0.7, 1.4, 2.1]],
            [1, 0],
        ),  # on a line, but for rounding
        ([[0.0, 0], [1e-30, 0], [0, 1e30]], [1, 0]),
        ([[0.0, 0, 0]] * 2, [0, 0]),
    ],
)
def test_where_points_do_not_spread_axes_are_zero(points, shares):
    found = principal_axes(torch.tensor(points))
    assert found.shares == pytest.approx(shares, abs=1e-7)  # float32 has 2^-24
    assert max(found.shares) <= 1
    for axis, share in enumerate(shares):
        assert (np.abs(found.axes[:, axis]).sum() > 0) == bool(share)
        if not share:
            assert (found.places[:, axis] == 0).all()
    assert np.isfinite(found.places).all()


def test_two_points_lie_as_far_apart_as_they_are():
    found = principal_axes(torch.tensor([[0.0, 0, 0], [3, -4, 0]]))
    assert found.axes[:, 0] == pytest.approx([-0.6, 0.8, 0])  # the largest is positive
    assert found.places[:, 0] == pytest.approx([2.5, -2.5])


def test_equal_variances_give_some_axes_of_their_plane():
    """The corners of a square, in a space of three dimensions."""
    corners = torch.tensor([[1.0, 1, 7], [1, -1, 7], [-1, 1, 7], [-1, -1, 7]])
    found = principal_axes(corners)
    assert found.shares == pytest.approx([0.5, 0.5])
    assert np.abs(found.axes.T @ found.axes - np.eye(2)).max() < 1e-6
    assert np.abs(found.axes[2]).max() < 1e-6
    distances = [np.hypot(*place) for place in found.places]
    assert distances == pytest.approx([2**0.5] * 4)


def test_rotations_find_eigenvectors():
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 10):
        half = random.normal(size=(size, size))
        matrix = half @ half.T
        found = eigenvectors(matrix)
        rotated = found.T @ matrix @ found
        values = np.sort(np.diag(rotated))
        assert np.abs(rotated - np.diag(np.diag(rotated))).max() < 1e-12 * values.max()
        assert values == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-12 * values.max())
    assert np.array_equal(eigenvectors(np.zeros((2, 2))), np.eye(2))
    assert np.isfinite(eigenvectors(np.array([[1e300, 5e-324], [5e-324, 1.0]]))).all()


@pytest.mark.parametrize("block", [7, 1000])
def test_nearest_neighbours_are_those_of_integers(monkeypatch, block):
    """Python's have no largest; half of the points stand twice, so ties are common."""
    monkeypatch.setattr(nearest, "BLOCK", block)
    points = np.random.default_rng(0).integers(0, 256, (40, 30))
    points[20:] = points[:20] + np.random.default_rng(1).integers(0, 2, (20, 30)) * (
        points[:20] % 2
    )
    points[5:8] = points[4]
    rows = points.tolist()

    def distance(i, j):
        return sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True))

    expected = [
        min((j for j in range(40) if j != i), key=lambda j: (distance(i, j), j)) for i in range(40)
    ]
    found = nearest_neighbours(torch.from_numpy(points).float())
    assert found.tolist() == expected
    assert found[4:8].tolist() == [5, 4, 4, 4]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_nearest_neighbours_at_any_scale(scale):
    points = cloud(90, 20, scale=scale)
    x = points.double().numpy() / scale
    squares = ((x[:, None] - x[None]) ** 2).sum(2)
    np.fill_diagonal(squares, np.inf)
    assert nearest_neighbours(points).tolist() == squares.argmin(1).tolist()


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency" (2009), at severity 1: of protanopia, deuteranopia and tritanopia.
SEEN = np.stack(
    [
        np.eye(3),
        *np.reshape(
            [
                *(0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216),
                *(-0.003882, -0.048116, 1.051998, 0.367322, 0.860646, -0.227968),
                *(0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881),
                *(1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602),
                *(0.004733, 0.691367, 0.303900),
            ],
            (3, 3, 3),
        ),
    ]
)


def linear(colour):
    shares = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ rgb.clip(0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def least_contrasts(colours, ground):
    """Between two of the colours, as anybody sees them (CIE 1976), and with the ground (WCAG)."""
    seen = [[lab(matrix @ linear(colour)) for matrix in SEEN] for colour in colours]
    between = min(
        np.linalg.norm(a - b)
        for one, other in itertools.combinations(seen, 2)
        for a, b in zip(one, other, strict=True)
    )
    luminances = [linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05 for colour in (*colours, ground)]
    last = luminances.pop()
    return between, min(max(each, last) / min(each, last) for each in luminances)


def test_marks_are_told_apart_by_the_colour_blind():
    """Of the colours that matplotlib has by default, two are 4 apart to some."""
    between, with_ground = least_contrasts(COLOURS, "#ffffff")
    assert between > 15 and with_ground > 3


def test_labels_of_a_letter_or_two_are_their_own_marks():
    marks = marks_of(["3", "1", "3"], DIGITS)
    assert (marks.labels, marks.letters, marks.of_images) == (["1", "3"], ["1", "3"], [1, 0, 1])
    marks = marks_of(["cat", "ox", None], ["cat", "dog", "ox"])
    assert marks == (["cat", "ox"], ["A", "B"], [0, 1, -1], 0, True)
    assert marks_of(["猫", "犬"], ["犬", "猫"]).letters == ["A", "B"]


def test_of_many_labels_the_commonest_have_marks():
    names = [f"label {number:03}" for number in range(120)]
    labels = [name for number, name in enumerate(names) for _ in range(1 + (number % 60 == 7))]
    marks = marks_of(labels, names)
    first = [name for name in names if name not in ("label 007", "label 067")][:8]
    assert marks.labels == sorted([*first, "label 007", "label 067"])
    assert marks.num_others == 110
    assert marks.of_images.count(-1) == 110


def test_a_mark_stands_where_its_point_lies():
    """To the pixel; and the mean of a label, larger, over its points."""
    places = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    wide, flat = frames([places, places * [1, 0.1]])
    assert wide.height == flat.height == 2 * EDGE + (WIDTH - 2 * EDGE) // 2
    assert wide.pixel(places[0]) == (EDGE, wide.height - EDGE)
    assert wide.pixel(places[1]) == (WIDTH - EDGE, wide.height - EDGE)
    assert wide.pixel(places[2]) == (EDGE, EDGE)
    canvas = np.full((50, 60, 3), 255, np.uint8)
    covered = stamp("A", 12)
    put(canvas, covered, np.array([255, 0, 0]), 30, 20)
    rows, columns = np.nonzero((canvas != 255).any(2))
    height, width = covered.shape
    assert (rows.min(), columns.min()) == (20 - height // 2, 30 - width // 2)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (height, width)
    assert covered.max() == 255
    for x, y in ((0, 0), (59, 49), (0, 49), (59, 0)):  # of what does not fit, a part
        put(canvas, covered, np.array([0, 0, 255]), x, y)
        assert tuple(canvas[y, x]) != (255, 255, 255)


def test_no_label_lies_above_all_others():
    assert in_turn([0, 0, 0, 1, -1, 1]) == [4, 0, 3, 1, 5, 2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with random weights for AlexNet's convolutions."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in AlexNet().features.state_dict().items()}
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("alexnet") / "features.safetensors"
    arrays = {
        f"features.{name}": random.standard_normal(shape, np.float32)
        * np.float32(np.prod(shape[1:]) ** -0.5)
        for name, shape in shapes.items()
    }
    save_tensors(arrays, path)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch, weights):
    """A project with 30 digits of each split, and without images."""
    monkeypatch.chdir(tmp_path)
    paths.ALEXNET.parent.mkdir(parents=True)
    paths.ALEXNET.symlink_to(weights)
    random = np.random.default_rng(0)
    pixels, features = {}, {}
    for split in SPLITS:
        labels = {f"{split}_labels": np.arange(30) % 10}
        pixels |= labels | {f"{split}_images": random.integers(0, 256, (30, 28, 28), np.uint8)}
        features |= labels | {f"{split}_features": random.random((30, 1024), np.float32)}
    save_tensors(pixels, paths.DIGITS, in_metadata(DIGITS))
    save_tensors(features, paths.EMBEDDED_DIGITS, in_metadata(DIGITS))
    parameters.write(parameters.read())
    parameters.change(Path(), "images", path="own", size=64)
    parameters.change(Path(), "embed", size=63)
    return tmp_path


def embedded(*images):
    """Writes images, by their paths and colours, and what `embed_images` would of them: features
    that tell colours apart."""
    rows = []
    for path, colour in images:
        Path("own", path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), colour).save(Path("own", path))
        row, square = read_image(Path("own"), path, 64)
        features = np.zeros(256, np.float32)
        features[:3] = square[0, 0]
        rows.append(Embedded(row, features))
    paths.EMBEDDED_IMAGES.mkdir(parents=True, exist_ok=True)
    write_rows(rows, paths.EMBEDDED_IMAGES / "part-000000.parquet")


def results():
    run_stage("principal_axes")
    metrics = json.loads((paths.AXES / "spaces.json").read_text(encoding="utf-8"))
    for what in ("digits", "moved", "images"):
        height, width, _ = drawn(paths.AXES / f"{what}.png").shape
        assert width == 1116 and 300 < height < 900
    return metrics, rows_of(paths.AXES / "images.csv")


def test_neighbours_and_shares_are_counted(project):
    """Reds and blues of two labels, and one red that is called blue."""
    embedded(
        *((f"blue/{n}.png", (0, 0, 100 + 10 * n)) for n in range(5)),
        ("blue/red.png", (141, 0, 0)),
        *((f"red/{n}.png", (100 + 10 * n, 0, 0)) for n in range(5)),
    )
    metrics, rows = results()
    found = metrics["images"]
    assert (found["images"], found["labels"]) == (11, 2)
    low, high = wilson(9, 11)
    for space in ("pixels", "features"):
        assert found[space]["neighbour_accuracy"] == 9 / 11  # wrong: the red, and its neighbour
        assert found[space]["neighbour_accuracy_low"] == low
        assert found[space]["neighbour_accuracy_high"] == high
        assert found[space]["neighbour_accuracy_on_axes"] == 9 / 11
        assert found[space]["variance_first"] + found[space]["variance_second"] > 0.999
        wrong = {
            row["path"]: row[f"{space}_neighbour"] for row in rows if row[f"{space}_right"] == "0"
        }
        assert wrong == {"blue/red.png": "red/4.png", "red/4.png": "blue/red.png"}
    digits = rows_of(paths.AXES / "digits.csv")
    assert [row["label"] for row in digits] == [str(n % 10) for n in range(30)]
    x = [float(row["features_x"]) for row in digits]
    assert abs(np.mean(x)) < 1e-4 and np.std(x) > 0


def test_digits_are_moved_within_larger_pictures(project):
    """Some to each of the edges. By pixels, the nearest is found among the moved ones."""
    embedded(("a/1.png", (9, 0, 0)), ("b/1.png", (0, 9, 0)))
    metrics, _ = results()
    rows = rows_of(paths.AXES / "moved.csv")
    moves = [(int(row["down"]), int(row["across"])) for row in rows]
    assert len({*moves}) > 20 and all(0 <= place <= 14 for move in moves for place in move)
    assert metrics["moved"]["pixels"]["dimensions"] == 42 * 42
    assert metrics["moved"]["features"]["dimensions"] == 256
    digits = load_tensors(paths.DIGITS)["test_images"]
    pictures = np.zeros((30, 42, 42))
    for picture, image, (down, across) in zip(pictures, digits, moves, strict=True):
        picture[down : down + 28, across : across + 28] = image
    squares = ((pictures[:, None] - pictures[None]) ** 2).sum((2, 3))
    np.fill_diagonal(squares, np.inf)
    assert [int(row["pixels_neighbour"]) for row in rows] == squares.argmin(1).tolist()
    assert [row["label"] for row in rows] == [str(n % 10) for n in range(30)]


def test_equal_images_count_once_and_of_many_some_are_taken(project):
    parameters.change(Path(), "principal_axes", images=10)
    embedded(
        *((f"a/{n:02}.png", (n, 0, 0)) for n in range(20)),
        *((f"b/{n:02}.png", (n, 0, 0)) for n in range(20)),
        *((f"c/{n:02}.png", (0, n + 1, 0)) for n in range(20)),
    )
    metrics, rows = results()
    assert [row["path"] for row in rows] == [
        *(f"a/{n:02}.png" for n in range(0, 20, 4)),
        *(f"c/{n:02}.png" for n in range(0, 20, 4)),
    ]
    assert metrics["images"]["images"] == 10


@pytest.mark.parametrize(
    "names", [["x/1.png"], ["x/1.png", "x/2.png"], ["1.png", "2.png"], ["1.png", "x/2.png"]]
)
def test_one_label_or_none_says_nothing_of_neighbours(project, names):
    embedded(*((name, (90 * n, 0, 0)) for n, name in enumerate(names)))
    metrics, rows = results()
    for space in ("pixels", "features"):
        assert metrics["images"][space]["neighbour_accuracy"] is None
        assert metrics["images"][space]["neighbour_accuracy_low"] is None
    assert [row["path"] for row in rows] == names


def test_images_without_a_label_are_drawn_but_are_no_neighbours(project):
    embedded(
        ("alone.png", (100, 0, 0)),
        ("a/1.png", (101, 0, 0)),
        ("a/2.png", (120, 0, 0)),
        ("b/1.png", (0, 0, 101)),
        ("b/2.png", (0, 0, 120)),
    )
    metrics, rows = results()
    found = {row["path"]: (row["pixels_neighbour"], row["pixels_right"]) for row in rows}
    assert found["alone.png"] == ("", "")
    assert found["a/1.png"] == ("a/2.png", "1")
    assert metrics["images"]["pixels"]["neighbour_accuracy"] == 1


def test_labels_of_any_name_and_any_number(project):
    odd = ["القطط", "<b>&\"'", "猫", "$x^2$", "a label that is much longer than its place" * 4]
    names = [*odd, *(f"label {number}" for number in range(120))]
    embedded(
        *(
            (f"{name}/{n}.png", (number, 40 * n, 7 * n))
            for number, name in enumerate(names)
            for n in range(2 if number else 30)
        )
    )
    metrics, rows = results()
    assert metrics["images"]["labels"] == len({row["label"] for row in rows}) == 125


def test_the_legend_has_a_mark_for_each_label(tmp_path):
    places = np.random.default_rng(0).normal(size=(40, 2))
    labels = [f"label {number % 13}" for number in range(39)] + [None]
    marks = marks_of(labels, sorted({label for label in labels if label}))
    panel = Panel("By pixels", ["a line", "another"], places, "first", "second")
    figure = draw_points("A title", "What it is", [panel, panel], marks)
    said = [text.get_text() for text in figure.texts]
    for letter, name in zip(marks.letters, marks.labels, strict=True):
        assert said[said.index(name) - 1] == letter
    assert said[-2:] == ["+", "3 other labels, or no label"]
    save_figure(figure, tmp_path / "a.png")


def test_files_that_do_not_belong_together_are_named(project, failure):
    embedded(("a/1.png", (0, 0, 0)))
    features = {f"{split}_labels": np.zeros(3, np.int64) for split in SPLITS}
    features |= {f"{split}_features": np.zeros((3, 1024), np.float32) for split in SPLITS}
    save_tensors(features, paths.EMBEDDED_DIGITS, in_metadata(DIGITS))
    assert failure("principal_axes") == (
        f"{paths.EMBEDDED_DIGITS} has the features of other images than those in {paths.DIGITS}; "
        "`dvc repro embed_digits` computes them anew"
    )


def test_an_image_that_is_gone_is_named(project, failure):
    embedded(("a/1.png", (0, 0, 0)), ("b/1.png", (9, 0, 0)))
    Path("own/b/1.png").unlink()
    assert failure("principal_axes").startswith("own/b/1.png ")


@pytest.mark.parametrize("value", [1, 10_001, 2.5, "all"])
def test_a_number_out_of_range_is_named(project, failure, value):
    parameters.change(Path(), "principal_axes", digits=value)
    assert failure("principal_axes").startswith("params.yaml: principal_axes.digits is ")
