"""The contract of stages/core/exact once more, in plain Python: integers, fractions, and floats one
operation at a time. Slow, and written from the contract alone, to compare with.

Tensors are flat lists in the order of torch. A linear layer or a convolution of one example is a
list of triples (index of output, of input, of weight), one for each product of its sums.
"""

import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from random import Random
from typing import NamedTuple

LN2 = math.log(2)
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def f32(value: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def ceil_log2(count: int) -> int:
    return next(n for n in range(64) if count <= 2**n)


def product_bits(num_terms: int) -> int:
    return (53 - ceil_log2(num_terms)) // 2


def sum_bits(num_terms: int) -> int:
    return 53 - ceil_log2(num_terms)


def integers(numbers: Sequence[float], bits: int) -> tuple[list[int], Fraction]:
    """Integers, and what one is worth."""
    _, exponent = math.frexp(max(map(abs, numbers)))
    unit = Fraction(2) ** (exponent - bits)
    return [round(Fraction(x) / unit) for x in numbers], unit


def exact_sum(numbers: Sequence[float]) -> float:
    [total] = sums([numbers])
    return total


def sums(groups: Sequence[Sequence[float]]) -> list[float]:
    """Of groups of equal length, with one unit for all."""
    count = len(groups[0])
    found, unit = integers([x for group in groups for x in group], sum_bits(count))
    return [float(sum(found[i : i + count]) * unit) for i in range(0, len(found), count)]


class Layer(NamedTuple):
    """A linear layer or a convolution: its triples; the sizes of an example's output and input; the
    output channels; and the terms of a sum, forward and in the gradient of the input."""

    triples: list[tuple[int, int, int]]
    num_outputs: int
    num_inputs: int
    channels: int
    num_terms: int
    num_terms_back: int

    @property
    def places(self) -> int:
        return self.num_outputs // self.channels

    def forward(
        self, x: Sequence[float], weight: Sequence[float], bias: Sequence[float]
    ) -> list[float]:
        bits = product_bits(self.num_terms)
        weights, weight_unit = integers(weight, bits)
        outputs = []
        for example in split(x, self.num_inputs):
            inputs, unit = integers(example, bits)
            totals = [0] * self.num_outputs
            for o, i, w in self.triples:
                totals[o] += weights[w] * inputs[i]
            outputs += [
                f32(float(total * unit * weight_unit) + bias[o // self.places])
                for o, total in enumerate(totals)
            ]
        return outputs

    def gradient_of_input(self, weight: Sequence[float], g: Sequence[float]) -> list[float]:
        """Of a whole batch, or of one example if the layer is frozen."""
        num_examples = len(g) // self.num_outputs
        bits = product_bits(self.num_terms_back)
        (grads, grad_unit), (weights, unit) = integers(g, bits), integers(weight, bits)
        totals = [0] * (num_examples * self.num_inputs)
        for n, (o, i, w) in product(range(num_examples), self.triples):
            totals[n * self.num_inputs + i] += grads[n * self.num_outputs + o] * weights[w]
        return [f32(float(total * grad_unit * unit)) for total in totals]

    def gradients(
        self, x: Sequence[float], weight: Sequence[float], g: Sequence[float]
    ) -> tuple[list[float], list[float], list[float]]:
        """Of the input, the weight and the bias."""
        num_examples = len(g) // self.num_outputs
        of_x = self.gradient_of_input(weight, g)

        bits = product_bits(num_examples * self.places)
        (grads, grad_unit), (inputs, unit) = integers(g, bits), integers(x, bits)
        totals = [0] * len(weight)
        for n, (o, i, w) in product(range(num_examples), self.triples):
            totals[w] += grads[n * self.num_outputs + o] * inputs[n * self.num_inputs + i]
        of_weight = [f32(float(total * grad_unit * unit)) for total in totals]

        groups: list[list[float]] = [[] for _ in range(self.channels)]
        for index, value in enumerate(g):
            groups[index % self.num_outputs // self.places].append(value)
        return of_x, of_weight, [f32(total) for total in sums(groups)]


def split(numbers: Sequence[float], size: int) -> list[Sequence[float]]:
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]


def linear(num_inputs: int, num_outputs: int) -> Layer:
    places = product(range(num_outputs), range(num_inputs))
    triples = [(o, i, o * num_inputs + i) for o, i in places]
    return Layer(triples, num_outputs, num_inputs, num_outputs, num_inputs, num_outputs)


def conv(
    shape: tuple[int, int, int], out_channels: int, kernel_size: int, stride: int, padding: int
) -> Layer:
    channels, height, width = shape
    kernel = kernel_size
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
    triples = []
    sizes = out_channels, rows, columns, channels, kernel, kernel
    for o, r, c, i, a, b in product(*map(range, sizes)):
        row, column = r * stride + a - padding, c * stride + b - padding
        if 0 <= row < height and 0 <= column < width:
            output = (o * rows + r) * columns + c
            weight = ((o * channels + i) * kernel + a) * kernel + b
            triples.append((output, (i * height + row) * width + column, weight))
    return Layer(
        triples,
        out_channels * rows * columns,
        channels * height * width,
        out_channels,
        channels * kernel**2,
        out_channels * kernel**2,
    )


def blocks(shape: tuple[int, ...], window: int, stride: int | None = None) -> list[list[int]]:
    """The indices of each block's values, in reading order; the blocks in the order of the output.
    `shape`: any number of maps, height, width. `stride`: by default, blocks do not overlap."""
    *maps, height, width = shape
    step = stride or window
    rows, columns = ((extent - window) // step + 1 for extent in (height, width))
    return [
        [
            (m * height + r * step + a) * width + c * step + b
            for a, b in product(range(window), repeat=2)
        ]
        for m in range(math.prod(maps))
        for r, c in product(range(rows), range(columns))
    ]


def max_pool(
    x: Sequence[float], g: Sequence[float], shape: tuple[int, ...], window: int
) -> tuple[list[float], list[float]]:
    """The output, and the gradient of the input."""
    y, of_x = [], [0.0] * len(x)
    for block, slope in zip(blocks(shape, window), g, strict=True):
        first = max(block, key=lambda i: x[i])  # of equal ones, max takes the first
        y.append(x[first])
        of_x[first] = slope
    return y, of_x


def overlapping_max_pool(
    x: Sequence[float], g: Sequence[float], shape: tuple[int, ...], window: int, stride: int
) -> tuple[list[float], list[float]]:
    found = blocks(shape, window, stride)
    firsts = [max(block, key=lambda i: x[i]) for block in found]
    of_x = [0.0] * len(x)
    for place in range(window**2):
        for block, first, slope in zip(found, firsts, g, strict=True):
            if block[place] == first:
                of_x[first] += slope
    return [x[first] for first in firsts], [f32(total) for total in of_x]


def avg_pool(
    x: Sequence[float], g: Sequence[float], shape: tuple[int, ...], window: int
) -> tuple[list[float], list[float]]:
    y, of_x = [], [0.0] * len(x)
    for block, slope in zip(blocks(shape, window), g, strict=True):
        total = 0.0
        for i in block:
            total += x[i]
            of_x[i] = f32(slope / len(block))
        y.append(f32(total / len(block)))
    return y, of_x


def relu(x: Sequence[float], g: Sequence[float]) -> tuple[list[float], list[float]]:
    return [max(v, 0.0) for v in x], [d if v > 0 else 0.0 for v, d in zip(x, g, strict=True)]


def tanh_layer(x: Sequence[float], g: Sequence[float]) -> tuple[list[float], list[float]]:
    y = [f32(tanh(v)) for v in x]
    return y, [f32(d * f32(1 - f32(v * v))) for v, d in zip(y, g, strict=True)]


def dropout(
    x: Sequence[float], g: Sequence[float], p: float, words: Sequence[int]
) -> tuple[list[float], list[float]]:
    keep = [word >= p * 2**32 for word in words]
    y, of_x = (
        [f32(v / (1 - p)) if k else 0.0 for v, k in zip(a, keep, strict=True)] for a in (x, g)
    )
    return y, of_x


def exp(v: float) -> float:
    v = max(v, -700.0)
    k = round(v * (1 / LN2))
    r = v - k * LN2
    series = 1.0
    for i in range(14, 0, -1):
        series = series * r / i + 1
    return math.ldexp(series, k)


def log(v: float) -> float:
    m, e = math.frexp(v)
    if m < math.sqrt(0.5):
        m, e = 2 * m, e - 1
    s = (m - 1) / (m + 1)
    series = 0.0
    for i in range(21, 0, -2):
        series = series * (s * s) + 1 / i
    return 2 * s * series + e * LN2


def tanh(v: float) -> float:
    if abs(v) < 2**-10:
        return v - v * v * v / 3
    t = exp(-2 * abs(v))
    return math.copysign((1 - t) / (1 + t), v)


def cross_entropy(
    logits: Sequence[Sequence[float]], labels: Sequence[int]
) -> tuple[float, list[list[float]]]:
    """The loss of a batch, and the gradient of its logits."""
    losses, gradients = [], []
    for z, label in zip(logits, labels, strict=True):
        top = max(z)
        powers = [exp(v - top) for v in z]
        total = 0.0
        for power in powers:
            total += power
        losses.append(log(total) + top - z[label])
        gradients.append(
            [f32((p / total - (j == label)) / len(labels)) for j, p in enumerate(powers)]
        )
    return f32(exact_sum(losses) / len(losses)), gradients


class Adam:
    """Of one weight."""

    def __init__(self, weight: float, learning_rate: float, weight_decay: float) -> None:
        self.weight, self.m, self.v, self.power1, self.power2 = weight, 0.0, 0.0, 1.0, 1.0
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def update(self, gradient: float) -> None:
        g = gradient + self.weight_decay * self.weight
        self.m = BETA1 * self.m + (1 - BETA1) * g
        self.v = BETA2 * self.v + (1 - BETA2) * (g * g)
        self.power1 *= BETA1
        self.power2 *= BETA2
        c1, c2 = 1 - self.power1, 1 - self.power2
        step = self.learning_rate / c1 * self.m / (math.sqrt(self.v * (1 / c2)) + EPS)
        self.weight = f32(self.weight - step)


class SGD:
    """Of one weight."""

    def __init__(
        self, weight: float, learning_rate: float, weight_decay: float, momentum: float
    ) -> None:
        self.weight, self.v = weight, 0.0
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.momentum = momentum

    def update(self, gradient: float) -> None:
        g = gradient + self.weight_decay * self.weight
        self.v = self.momentum * self.v + g
        self.weight = f32(self.weight - self.learning_rate * self.v)


class Words:
    """The words of a seed and a purpose: Python's generator is the same Mersenne Twister, and takes
    the digits of a large seed, to the base 2^32, for the array."""

    def __init__(self, seed: int, purpose: int) -> None:
        self.random = Random(seed + (purpose << 32))

    def take(self, count: int) -> list[int]:
        return [self.random.getrandbits(32) for _ in range(count)]


def initial_weights(words: Words, count: int, fan_in: int) -> list[float]:
    return [f32(((word >> 8) / 2**23 - 1) * (1 / math.sqrt(fan_in))) for word in words.take(count)]


def shuffled(words: Words, count: int) -> list[int]:
    keys = words.take(count)
    return sorted(range(count), key=lambda i: (keys[i], i))


def means_of_maps(x: Sequence[float], shape: tuple[int, int, int, int]) -> list[float]:
    _, channels, height, width = shape
    found = []
    for example in split(x, channels * height * width):
        found += [f32(total / (height * width)) for total in sums(split(example, height * width))]
    return found


def enlarged(image: Sequence[Sequence[int]], size: int) -> list[float]:
    """One image, by the definition of bilinear interpolation, in fractions."""
    side = len(image)

    def weights(i: int) -> dict[int, Fraction]:
        place = max((i + Fraction(1, 2)) * side / size - Fraction(1, 2), Fraction(0))
        j = math.floor(place)
        found = {j: 1 - (place - j)}
        after = min(j + 1, side - 1)
        found[after] = found.get(after, Fraction(0)) + (place - j)
        return found

    return [
        f32(
            float(
                sum(
                    a * b * image[r][c]
                    for (r, a), (c, b) in product(weights(i).items(), weights(j).items())
                )
                / 255
            )
        )
        for i, j in product(range(size), repeat=2)
    ]


def enlarged_gradient(g: Sequence[Sequence[float]], side: int) -> list[float]:
    """Of one image of side × side pixels, for that of the enlarged one."""
    size = len(g)
    taken = [dict[int, int]() for _ in range(size)]
    for i, weights in enumerate(taken):
        place = max((2 * i + 1) * side - size, 0)
        j, fraction = divmod(place, 2 * size)
        weights[j] = 2 * size - fraction
        after = min(j + 1, side - 1)
        weights[after] = weights.get(after, 0) + fraction
    largest = max(sum(weights.get(j, 0) for weights in taken) for j in range(side))
    grads, unit = integers([v for row in g for v in row], 53 - 2 * ceil_log2(largest))
    totals = [0] * side**2
    for (r, rows), (c, columns) in product(enumerate(taken), repeat=2):
        for (j, a), (k, b) in product(rows.items(), columns.items()):
            totals[j * side + k] += a * b * grads[r * size + c]
    return [f32(float(total * unit) / (2 * size) ** 2) for total in totals]


def ascent(
    gradient: Callable[[list[float]], list[float]],
    ground: Sequence[float],
    shape: tuple[int, int, int],
    *,
    steps: int,
    rate: float,
    jitter: int,
    blur: int,
    decay: float,
    seed: int,
) -> list[float]:
    """One image of channels × rows × columns, by the gradient at an image."""
    channels, height, width = shape
    words = Words(seed, 4)
    noise = words.take(len(ground))
    x = [
        f32(min(max(h + (word / 2**32 - 1 / 2) / 8, 0.0), 1.0))
        for h, word in zip(ground, noise, strict=True)
    ]

    def at(c: int, row: int, column: int) -> int:
        return (c * height + row) * width + column

    def rolled(values: Sequence[float], dy: int, dx: int) -> list[float]:
        return [
            values[at(c, (row - dy) % height, (column - dx) % width)]
            for c, row, column in product(*map(range, shape))
        ]

    def blurred(g: Sequence[float], dy: int, dx: int) -> list[float]:
        found = []
        for c, row, column in product(*map(range, shape)):
            sides = [
                g[at(c, row + sign * dy, column + sign * dx)]
                if 0 <= row + sign * dy < height and 0 <= column + sign * dx < width
                else 0.0
                for sign in (-1, 1)
            ]
            found.append((sides[0] + sides[1] + 2 * g[at(c, row, column)]) / 4)
        return found

    for _ in range(steps):
        dy, dx = (word % (2 * jitter + 1) - jitter for word in words.take(2))
        g = rolled(gradient(rolled(x, dy, dx)), -dy, -dx)
        for _ in range(blur):
            g = blurred(blurred(g, 1, 0), 0, 1)
        if channels == 3:
            area = height * width
            g = [
                v + (g[i % area] + g[area + i % area] + g[2 * area + i % area])
                for i, v in enumerate(g)
            ]
        largest = max(map(abs, g)) or 1.0
        for i, (slope, h) in enumerate(zip(g, ground, strict=True)):
            v = x[i] + rate * (slope / largest)
            x[i] = f32(min(max(v - min(max(v - h, -decay), decay), 0.0), 1.0))
    return x
