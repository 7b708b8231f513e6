"""Guess first: the questions of the page, whose right answers are those of the run."""

import json
from contextlib import chdir
from itertools import combinations

import numpy as np
import pytest
from playwright.sync_api import expect

from stages.core.learning.trained import load_model

from common import parameters, paths
from common.artifacts import rows_of
from common.pages import Reader, add_model, copy_inputs, keep_models, needs_chromium, opened
from common.stages import run_stage

pytestmark = needs_chromium

LINEAR = {"kind": "linear", "units": 10}


@pytest.fixture(scope="module")
def others(pipeline, tmp_path_factory):
    """A page of other models, photograph, convolutions and numbers of images."""
    folder = tmp_path_factory.mktemp("others")
    copy_inputs(pipeline, folder)
    keep_models(folder)
    conv = {"kind": "conv", "channels": 6, "kernel": 5, "padding": 2, "stride": 2}
    add_model(folder, "deep", {"a": conv, "b": conv | {"channels": 3}, "c": LINEAR}, "Deep")
    layers = {"pool": {"kind": "avg_pool", "window": 4}, "only": LINEAR}
    add_model(folder, "small", layers, "Small")
    answers = rows_of(folder / paths.predictions("small"))
    for index, row in enumerate(answers):  # it takes every other 3 for a 5, and knows only the 6
        digit = int(row["actual"])
        row["predicted"] = {3: "35"[index % 2], 6: "6"}.get(digit, str((digit + 1) % 10))
    lines = ["actual,predicted,probability", *(",".join(row.values()) for row in answers), ""]
    (folder / paths.predictions("small")).write_text("\n".join(lines), encoding="utf-8")
    params = parameters.read(folder)
    params["photo"]["size"] = 400
    params["convolve"]["convolutions"]["padding_and_stride"] |= {"kernel_size": 7, "stride": 5}
    parameters.write(params, folder)
    accuracies = "images,pixels,features\n10,0.5,0.8125\n20,0.6,0.9\n40,0.8,0.95\n"
    (folder / paths.DATA_EFFICIENCY / "accuracy.csv").write_text(accuracies, encoding="utf-8")
    with chdir(folder):
        run_stage("report")
    return folder


def most_mixed_up(folder, model):
    pairs = [
        (row["actual"], row["predicted"]) for row in rows_of(folder / paths.predictions(model))
    ]
    often = {
        f"{a} and {b}": pairs.count((a, b)) + pairs.count((b, a))
        for a, b in combinations("0123456789", 2)
    }
    return max(often, key=often.get)


def best_known(folder, model):
    rows = rows_of(folder / paths.predictions(model))
    shares = [
        np.mean([row["predicted"] == row["actual"] for row in rows if row["actual"] == digit])
        for digit in "0123456789"
    ]
    return str(np.argmax(shares))


def expected(folder, name):
    """The right answers by the artifacts; of the default page and of the other one."""
    conv_model, conv, linear = {
        "default": ("cnn", "conv1", "logistic"),
        "others": ("deep", "a", "small"),
    }[name]
    weights = load_model(folder / paths.weights(conv_model)).weights
    count = weights[f"{conv}.weight"].size + weights[f"{conv}.bias"].size
    accuracies = rows_of(folder / paths.DATA_EFFICIENCY / "accuracy.csv")
    enough = next(r for r in accuracies if float(r["features"]) >= float(accuracies[-1]["pixels"]))
    return {
        "parameters": f"{count:,}",
        "mistakes": most_mixed_up(folder, linear),
        "weights": best_known(folder, linear),
        "side": {"default": "316", "others": "80"}[name],  # (400 + 2 - 7) // 5 + 1
        "features": f"{int(enough['images']):,}",
    }


@pytest.mark.parametrize("name", ["default", "others"])
def test_the_right_answers_are_those_of_the_run(browser, pipeline, request, name):
    """Each wrong option is told to be wrong, and which is right; by the keyboard too."""
    folder = pipeline if name == "default" else request.getfixturevalue("others")
    with opened(browser, folder / paths.REPORT) as page:
        right = expected(folder, name)
        questions = page.locator(".guess:not(#guess-rate)")
        ids = questions.evaluate_all("all => all.map(e => e.id.slice(6))")
        assert {*ids} == {*right}
        for each in ids:
            question = page.locator(f"#guess-{each}")
            expect(question).to_be_visible()
            options = question.get_by_role("button").all_inner_texts()
            assert len(set(options)) == len(options) >= 3
            verdict = question.get_by_role("status")
            expect(verdict).to_be_empty()
            for index, option in enumerate(options):
                question.get_by_role("button").nth(index).press("Enter")
                start = "Right. " if option == right[each] else f"No: {right[each]}. "
                assert verdict.inner_text().startswith(start), (each, option)
                assert len(verdict.inner_text()) > len(start) + 10
                assert question.locator(".right").inner_text() == right[each]
                wrong = question.locator(".wrong").all_inner_texts()
                assert wrong == ([] if option == right[each] else [option])
        said = page.locator("#guessed li strong").all_text_contents()
        assert said == [f"{right[each]}." for each in ids]


def test_the_pictured_weights_are_those_of_the_right_digit(browser, others):
    script = """() => { const c = document.querySelector("#guess-weights canvas");
        return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; }"""
    with opened(browser, others / paths.REPORT) as page:
        pixels = np.array(page.evaluate(script)).reshape(7, 7, 4)
        weight = load_model(others / paths.weights("small")).weights["only.weight"]
        weight = weight[int(best_known(others, "small"))].reshape(7, 7)
        clear = np.abs(weight) > 0.1 * np.abs(weight).max()
        redder = pixels[..., 0] > pixels[..., 2]
        assert (redder == (weight > 0))[clear].all() and clear.sum() > 30


def test_only_a_trial_answers_what_ten_times_the_learning_rate_does(browser, pipeline, tmp_path):
    """There, where the page has a place to try it."""
    page_text = (pipeline / paths.REPORT).read_text(encoding="utf-8")
    for here in (False, True):
        text = page_text if here else page_text.replace('id="train"', 'id="no-training"')
        if here and 'id="train"' not in text:
            text = text.replace("</main>", '<section id="train"></section></main>')
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        with opened(browser, tmp_path / "page.html") as page:
            question = page.locator("#guess-rate")
            assert question.is_visible() == here
            if here:
                question.get_by_role("button").first.click()
                expect(question.get_by_role("status")).to_have_text(
                    "You say: It learns better. Train it with 0.1, and see whether you are right. "
                    "Train it"
                )
                assert question.get_by_role("link").get_attribute("href") == "#train"


def test_what_does_not_apply_is_not_asked(pipeline, tmp_path):
    """No convolution, no linear model on pixels, no stride, no mistakes, no gain by features."""
    copy_inputs(pipeline, tmp_path)
    keep_models(tmp_path)
    hidden = {"a": {"kind": "linear", "units": 8}, "b": {"kind": "relu"}, "c": LINEAR}
    add_model(tmp_path, "hidden", hidden, "Hidden")
    answers = rows_of(tmp_path / paths.predictions("hidden"))
    lines = [f"{row['actual']},{row['actual']},1.0" for row in answers]
    header = "actual,predicted,probability"
    (tmp_path / paths.predictions("hidden")).write_text(
        "\n".join([header, *lines, ""]), encoding="utf-8"
    )
    params = parameters.read(tmp_path)
    for convolution in params["convolve"]["convolutions"].values():
        convolution["stride"] = 1
    parameters.write(params, tmp_path)
    accuracies = "images,pixels,features\n10,0.5,0.1\n20,0.6,0.1\n"
    (tmp_path / paths.DATA_EFFICIENCY / "accuracy.csv").write_text(accuracies, encoding="utf-8")
    with chdir(tmp_path):
        run_stage("report")
    text = (tmp_path / paths.REPORT).read_text(encoding="utf-8")
    asked = [a["id"] for _, a in Reader(text).elements if a.get("class") == "guess"]
    assert asked == ["guess-parameters", "guess-rate"]
    guesses = json.loads(text.split('id="data">')[1].split("</script>")[0])["guesses"]
    assert guesses["parameters"]["why"] == (
        "10 units with 8 weights and a bias each: 10 · 8 + 10 = 90."
    )
    assert [
        a for _, a in Reader(text).elements if a.get("class") == "guess" and "hidden" not in a
    ] == []
