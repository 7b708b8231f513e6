"""The page's engine in browsers: bit for bit what stages/core/exact computes.

Zeros are equal whatever their sign, which the contract leaves open.
"""

import base64
import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.data.digits import Split
from stages.core.exact import functions
from stages.core.exact.integers import exact_sum, to_integers
from stages.core.exact.layers import initialize
from stages.core.exact.optimizers import SGD, Adam
from stages.core.exact.random import Purpose, Words, keep_mask, shuffled
from stages.core.interpretation.attribution import attribution
from stages.core.learning.layers import shapes
from stages.core.learning.models import build, build_layer, weights
from stages.core.learning.settings import TrainParams
from stages.core.learning.trained import LAYERS, TrainedModel
from stages.core.learning.training import train
from stages.core.page.page import TEMPLATES

from common.firefox import firefox, needs_firefox
from common.pages import needs_chromium
from common.processes import PATIENCE

pytestmark = pytest.mark.usefixtures("one_thread")

tried = settings(max_examples=25, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
small = st.integers(1, 4)
sides = st.integers(1, 9)
kinds = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("conv"),
            "channels": small,
            "kernel": st.integers(1, 5),
            "padding": st.integers(0, 6),
            "stride": st.integers(1, 5),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["max_pool", "avg_pool"]), "window": st.integers(1, 4)}
    ),
    st.fixed_dictionaries({"kind": st.sampled_from(["relu", "tanh"])}),
    st.fixed_dictionaries({"kind": st.just("dropout"), "p": st.floats(0, 0.95)}),
    st.fixed_dictionaries({"kind": st.just("linear"), "units": st.integers(1, 9)}),
)
# Every kind of layer, one after another, for digits of 12 × 12 pixels.
EVERY_KIND = {
    "first": {"kind": "avg_pool", "window": 1},
    "wide": {"kind": "conv", "channels": 3, "kernel": 4, "padding": 3, "stride": 2},
    "bent": {"kind": "tanh"},
    "drop1": {"kind": "dropout", "p": 0.2},
    "narrow": {"kind": "conv", "channels": 5, "kernel": 3, "padding": 1, "stride": 1},
    "largest": {"kind": "max_pool", "window": 2},
    "positive": {"kind": "relu"},
    "mean": {"kind": "avg_pool", "window": 2},
    "hidden": {"kind": "linear", "units": 7},
    "drop2": {"kind": "dropout", "p": 0.4},
    "logits": {"kind": "linear", "units": 10},
}
ADAM = {"kind": "adam", "learning_rate": 0.02, "weight_decay": 0.01}
MOMENTUM = {"kind": "sgd", "learning_rate": 0.1, "weight_decay": 0.001, "momentum": 0.7}

# Numbers travel as float64 in base64: JSON has no nan.
TRAVEL = """
const given = (text) => new Float64Array(
    Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const found = (values) => {
    const bytes = new Uint8Array(Float64Array.from(values).buffer);
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
};
"""
LAYER = """([layer, shape, count, seed, x, g, parameters]) => {
    const made = new KINDS[layer.kind](layer, shape, new Words(seed, DROPOUT));
    made.parameters.forEach((parameter, i) => parameter.set(given(parameters[i])));
    const y = found(made.forward(Float32Array.from(given(x)), count, true));
    const slopes = made.backward(Float32Array.from(given(g)), count, true);
    return [made.outputShape, [y, found(slopes), ...(made.gradients ?? []).map(found)]];
}"""
UPDATES = """([kind, settings, weights, gradients, state]) => {
    const parameters = weights.map((each) => Float32Array.from(given(each)));
    const optimizer = new OPTIMIZERS[kind](parameters, settings);
    for (const each of gradients) {
        optimizer.update(each.map((gradient) => Float32Array.from(given(gradient))));
    }
    return [...parameters, ...state.flatMap((name) => optimizer[name])].map(found);
}"""
TRAINING = """([settings, shape, images, labels, val_images, val_labels]) => {
    const bytes = (text) => Uint8Array.from(given(text));
    const training = new Training(settings, shape, bytes(images), bytes(labels));
    const points = [];
    while (training.iteration < training.last) {
        const loss = training.step();
        const train = training.accuracy(training.images, training.labels);
        const val = training.accuracy(bytes(val_images), bytes(val_labels));
        points.push([training.iteration, loss, train, val]);
    }
    return [points, training.model.digest()];
}"""

ATTRIBUTION = """([layers, parameters, x, answer, rival, window, stride]) => {
    const model = new Model(layers, [1, 12, 12]);
    model.parameters.forEach((parameter, i) => parameter.set(given(parameters[i])));
    const image = Float32Array.from(given(x));
    const why = attribution(model, image, [12, 12], answer, rival, window, stride);
    const {pair, lead, sum, products, hidden} = why;
    const shape = [hidden.height, hidden.width];
    return [pair, [lead, sum], shape, [products.values, hidden.values].map(found)];
}"""


@pytest.fixture(scope="module")
def page_of_engine(tmp_path_factory):
    """A page with nothing but the engine."""
    path = tmp_path_factory.mktemp("engine") / "engine.html"
    script = (TEMPLATES / "engine.js").read_text(encoding="utf-8")
    path.write_text(
        f"<meta charset=utf-8><script>{script}</script><script>{TRAVEL}</script>", encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def in_chromium(browser, page_of_engine):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(page_of_engine.as_uri())
    yield page
    page.close()


@pytest.fixture(scope="module")
def in_firefox(tmp_path_factory, page_of_engine):
    with firefox(tmp_path_factory.mktemp("profile")) as page:
        page.goto(page_of_engine)
        yield page


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("in_chromium", marks=needs_chromium),
        pytest.param("in_firefox", marks=[needs_firefox, pytest.mark.slow]),
    ],
)
def engine(request):
    """The engine in a browser: `evaluate` takes a function, and its argument."""
    return request.getfixturevalue(request.param)


def sent(values):
    array = np.asarray(values.detach() if isinstance(values, torch.Tensor) else values)
    return base64.b64encode(array.astype("<f8").tobytes()).decode()


def read(text):
    return np.frombuffer(base64.b64decode(text), "<f8")


def assert_equal(found, expected):
    """Texts from the page, and tensors."""
    for text, tensor in zip(found, expected, strict=True):
        values = np.asarray(tensor.detach()).ravel()
        assert np.array_equal(read(text), values, equal_nan=True)


def numbers(seed, *shape, spread=3):
    """Random numbers of several magnitudes, some of them zero, some equal."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-spread, spread + 1, shape)
    x = np.where(rng.random(shape) < 0.2, np.rint(x), x)
    return torch.from_numpy((x * (rng.random(shape) > 0.1)).astype(np.float32))


def assert_layer(engine, about, shape, count, seed, spread=3):
    """What a layer gives, and the gradients."""
    [layer] = LAYERS.validate_python({"layer": about}, strict=True).values()
    module = build_layer(layer, shape, Words(seed, Purpose.DROPOUT))
    with torch.no_grad():
        for offset, parameter in enumerate(module.parameters()):
            parameter.copy_(numbers([seed, offset], *parameter.shape))
    x = numbers([seed, 2], count, *shape, spread=spread).requires_grad_()
    y = module(x)
    g = numbers([seed, 3], *y.shape, spread=spread)
    gradients = torch.autograd.grad(y, [x, *module.parameters()], g)
    output_shape, found = engine.evaluate(
        LAYER,
        [about, shape, count, seed, *map(sent, (x, g)), [*map(sent, module.parameters())]],
    )
    assert output_shape == [*y.shape[1:]]
    assert_equal(found, [y, *gradients])


@tried
@given(kinds, small, small, sides, sides, seeds)
def test_layers_forward_and_backward(engine, about, count, channels, height, width, seed):
    least = max(about.get("kernel", 1) - 2 * about.get("padding", 0), about.get("window", 1))
    shape = (channels, max(height, least), max(width, least))
    assert_layer(engine, about, shape, count, seed)


@pytest.mark.parametrize("about", EVERY_KIND.values(), ids=EVERY_KIND)
def test_layers_at_their_size_and_at_the_ends_of_float32(engine, about):
    """Magnitudes from what vanishes to what overflows; and a batch of the size that is usual."""
    for seed, spread in enumerate((0, 12, 36)):
        assert_layer(engine, about, (3, 14, 13), 5, seed, spread)
    assert_layer(engine, about, (1, 28, 28), 64, seed=9, spread=1)  # 50,176 values


def test_a_linear_layer_takes_units(engine):
    assert_layer(engine, {"kind": "linear", "units": 3}, (17,), 6, seed=0)


def test_what_is_not_finite_spreads_as_it_does_there(engine):
    for about in (EVERY_KIND["wide"], EVERY_KIND["hidden"], {"kind": "relu"}, {"kind": "tanh"}):
        [layer] = LAYERS.validate_python({"layer": about}, strict=True).values()
        module = build_layer(layer, (1, 6, 6), Words(0, Purpose.DROPOUT))
        for value in (math.inf, -math.inf, math.nan):
            x = numbers(1, 2, 1, 6, 6)
            x[0, 0, 2, 3] = value  # the second example stays as it is
            y = module(x)
            _, [found, *_] = engine.evaluate(
                LAYER,
                [about, (1, 6, 6), 2, 0, sent(x), sent(y), [*map(sent, module.parameters())]],
            )
            assert_equal([found], [y])


def test_integers_and_their_sums(engine):
    """Of all numbers of bits, ties among them, and of numbers next to powers of two."""
    edges = [2.0**n * (1 + m * 2.0**-23) for n in (-149, -126, 0, 3, 127) for m in (-1, 0, 1, 3)]
    halves = [n + 0.5 for n in range(-9, 9)]
    double = np.random.default_rng(0).standard_normal(500).tolist()  # losses are such numbers
    for x in (edges, halves, double, [0.0, 0.0], [1.0], numbers(0, 500, spread=9).tolist()):
        x = torch.tensor(x, dtype=torch.float64)
        for bits in (1, 4, 18, 26, 47, 50, 51, 52, 53):
            script = "([x, bits]) => { const [q, unit] = integersOf(given(x), bits);"
            text, unit = engine.evaluate(script + "return [found(q), unit]; }", [sent(x), bits])
            integers, expected = to_integers(x, bits)
            assert_equal([text], [integers])
            assert unit == expected
        script = "x => exactSums(given(x), 1, given(x).length, () => 0)[0]"
        assert engine.evaluate(script, sent(x)) == exact_sum(x, [0]).item()


def domain(name):
    """Numbers of all magnitudes, and those where a formula changes."""
    rng = np.random.default_rng(0)
    negative = [0.0, -0.5, *(-(10.0 ** rng.uniform(-310, 40, 2000))), *rng.uniform(-701, 0, 2000)]
    ends = [math.inf, math.nan, 5e-324, 1e308]
    small = rng.uniform(-0.35, 0, 100_000)  # here the series would show one term more, or less
    positive = [*10.0 ** rng.uniform(-307, 308, 2000), *rng.uniform(0.5, 1.5, 100_000)]
    near = [(0.5**0.5) * 2.0**n * (1 + m * 2.0**-52) for n in range(-2, 3) for m in range(-2, 3)]
    return {
        "exp": [-math.inf, math.nan, -700.0, *negative, *small],
        "log": [*ends, 1.0, *near, *positive],
        "tanh": [*ends, -math.inf, 2**-10, -(2**-10), *negative, *(-v for v in negative)],
    }[name]


@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
def test_functions(engine, name):
    values = np.array(domain(name))
    with np.errstate(all="ignore"):
        expected = getattr(functions, name)(values)
    text = engine.evaluate(f"x => found(given(x).map((v) => {name}(v)))", sent(values))
    assert np.array_equal(read(text), expected, equal_nan=True)


@tried
@given(st.sampled_from([1, 2, 3, 64]), seeds, st.sampled_from([0, 1, 3, 20]))
def test_cross_entropy_and_softmax(engine, count, seed, spread):
    """Up to logits of which the loss is not finite."""
    logits = numbers(seed, count, 10, spread=spread).requires_grad_()
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 10, count))
    script = """([z, labels]) => {
        const logits = Float32Array.from(given(z));
        const {loss, gradient} = crossEntropy(logits, labels);
        const {probabilities} = softmax(logits.subarray(0, 10));
        return [found([loss]), found(gradient), found(probabilities)];
    }"""
    found = engine.evaluate(script, [sent(logits), labels.tolist()])
    loss = functions.cross_entropy(logits, labels)
    [gradient] = torch.autograd.grad(loss, [logits])
    probabilities, _ = functions.softmax(logits.detach().numpy()[:1])
    assert_equal(found, [loss.view(1), gradient, torch.from_numpy(probabilities)])


def assert_optimizer(engine, kind, about, seed, size):
    """The weights and the state after some updates, by gradients of all magnitudes."""
    parameters = [numbers([seed, n], size + n) for n in range(2)]
    start = [*map(sent, parameters)]
    optimizer = kind(parameters, **about)
    gradients = [
        [numbers([seed, step, n], size + n, spread=9) for n in range(2)] for step in range(5)
    ]
    for each in gradients:
        optimizer.update(each)
    state = ["velocities"] if kind is SGD else ["means", "squares"]
    kept = [torch.from_numpy(array) for name in state for array in getattr(optimizer, name)]
    steps = [[*map(sent, each)] for each in gradients]
    found = engine.evaluate(UPDATES, [kind.__name__.lower(), about, start, steps, state])
    assert_equal(found, [*parameters, *kept])


@tried
@given(seeds, st.sampled_from([Adam, SGD]), st.floats(0.0001, 9), st.floats(0, 0.5))
def test_optimizers(engine, seed, kind, learning_rate, weight_decay):
    about = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    if kind is SGD:
        about["momentum"] = seed % 100 / 100
    assert_optimizer(engine, kind, about, seed, size=3)


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_optimizers_of_many_weights(engine, kind):
    """Where another order of operations would show in some of them."""
    about = {"learning_rate": 0.0107, "weight_decay": 0.003}
    if kind is SGD:
        about["momentum"] = 0.83
    assert_optimizer(engine, kind, about, seed=0, size=20_000)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31, 2**32 - 1])
def test_random_numbers(engine, seed):
    """Across the ends of the generator's state, in parts."""
    for purpose in Purpose:
        words = Words(seed, purpose)
        script = "([seed, purpose, counts]) => { const words = new Words(seed, purpose);"
        script += "return counts.map((count) => found(words.take(count))); }"
        counts = [1, 622, 2, 2000]
        found = engine.evaluate(script, [seed, purpose, counts])
        assert_equal(found, [torch.from_numpy(words.take(n).astype(float)) for n in counts])

    script = "([seed, count]) => { const words = new Words(seed, ORDER);"
    script += "return [shuffled(words, count), shuffled(words, count)].map(found); }"
    for count in (1, 2, 2000, 60000):
        words = Words(seed, Purpose.ORDER)
        expected = [shuffled(words, count) for _ in range(2)]
        assert_equal(engine.evaluate(script, [seed, count]), expected)

    for p in (0, 0.1, 0.5, 0.999):
        mask = keep_mask(Words(seed, Purpose.DROPOUT), (500,), p)
        script = "([seed, p]) => found(keeps(new Words(seed, DROPOUT), 500, p))"
        assert_equal([engine.evaluate(script, [seed, p])], [mask])


def test_equal_words_keep_the_order_of_their_indices(engine):
    words = "{take: (count) => Uint32Array.from({length: count}, (_, i) => 7 - (i % 3))}"
    expected = np.argsort([7 - i % 3 for i in range(30)], kind="stable")
    found = engine.evaluate(f"() => found(shuffled({words}, 30))")
    assert_equal([found], [torch.from_numpy(expected)])


@pytest.mark.parametrize("seed", [0, 3])
def test_initial_weights(engine, seed):
    about = EVERY_KIND | {"many": {"kind": "linear", "units": 1000}}
    layers = LAYERS.validate_python(about, strict=True)
    words = Words(seed, Purpose.WEIGHTS)
    expected = []
    for name, (shape, _) in shapes(layers, (1, 12, 12), "").items():
        layer = build_layer(layers[name], shape, words)
        initialize(layer, words)
        expected += layer.parameters()
    script = "([layers, seed]) => new Model(layers, [1, 12, 12], seed).parameters.map(found)"
    assert_equal(engine.evaluate(script, [[*about.values()], seed]), expected)


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "seed"), [(ADAM, 16, 0), (MOMENTUM, 7, 5), (ADAM, 50, 2**32 - 1)]
)
def test_training(engine, optimizer, batch_size, seed):
    """A model of every kind of layer: loss, accuracies and weights are those of the stage."""
    rng = np.random.default_rng(seed)
    digits = {
        count: (rng.integers(0, 256, (count, 1, 12, 12)), rng.integers(0, 10, count))
        for count in (50, 23)
    }
    about = {"optimizer": optimizer, "batch_size": batch_size, "epochs": 3, "seed": seed}
    layers = LAYERS.validate_python(EVERY_KIND, strict=True)
    model = build(layers, (1, 12, 12), seed, "")
    splits = [
        Split(torch.from_numpy(images).float() / 255, torch.from_numpy(labels))
        for images, labels in digits.values()
    ]
    points = train(
        model,
        TrainParams.model_validate(about, strict=True),
        *splits,
        num_iterations=3 * (50 // batch_size),
        eval_every=1,
        where="",
    )
    expected = [[*point] for point in points]
    assert len(expected) == 3 * (50 // batch_size)
    settings = about | {"layers": [*EVERY_KIND.values()]}
    arrays = map(sent, itertools.chain(*digits.values()))
    found, digest = engine.evaluate(TRAINING, [settings, (1, 12, 12), *arrays])
    assert found == expected
    assert digest == TrainedModel((1, 12, 12), layers, weights(model), []).digest


@pytest.mark.parametrize(("window", "stride"), [(6, 2), (3, 3), (5, 2), (12, 1), (1, 1)])
def test_attributions(engine, window, stride):
    """Of a model of every kind of layer, for its answer and for others, and of an image in which
    most is black."""
    layers = LAYERS.validate_python(EVERY_KIND, strict=True)
    model = build(layers, (1, 12, 12), 3, "").eval()
    rng = np.random.default_rng(window)
    pixels = rng.integers(0, 256, (12, 12)) * (rng.random((12, 12)) < 0.3)
    x = torch.from_numpy(pixels[None].astype(np.float32)) / 255
    parameters = [*map(sent, model.parameters())]
    answer = int(model(x[None])[0].argmax())
    for wanted, rival in ((None, None), (4, None), (None, 7), (2, 5), (6, 6)):
        explained = answer if wanted is None else wanted
        why = attribution(model, x, torch.zeros(1, 1, 1), explained, rival, window, stride)
        pair, numbers, shape, maps = engine.evaluate(
            ATTRIBUTION,
            [[*EVERY_KIND.values()], parameters, sent(x), wanted, rival, window, stride],
        )
        assert tuple(pair) == why.pair and shape == [*why.hidden.shape]
        assert numbers == [why.lead, exact_sum(why.products, [0, 1, 2]).item()]
        assert_equal(maps, [why.products, why.hidden])
        assert why.products.any() and why.hidden.any()


def test_sha256(engine):
    for length in (*range(70), 119, 120, 1000):
        content = np.random.default_rng(length).integers(0, 256, length, np.uint8)
        found = engine.evaluate("x => sha256(Uint8Array.from(given(x)))", sent(content))
        assert found == hashlib.sha256(content.tobytes()).hexdigest()
