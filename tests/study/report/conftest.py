"""Reports opened in a browser.

Chromium comes from the system's packages (`apt-get install chromium`). Without it these checks are skipped, except
where `CI=true`: there a missing browser is a failure, so that they cannot silently stop running.
"""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from regbench.study import load
from regbench.study.report import write_report, write_run_report
from tests.study.synthetic import write_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>alert(1)</script>"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-dev-shm-usage", "--no-first-run"),
]
KINDS = ["half", "strength", "sizes", "run"]
ODD = ["url(#q)", "say \"a\" or 'b'", "[x] {y} <b>&amp;", 'a id="series:q" x="1.234"', "#1f2429"]
TECHNIQUES = [
    *("batchnorm", "dropout", "weight_decay", "label_smoothing", "augmentation", "layernorm", "l1", "mixup", "cutout"),
    *("gaussian_noise", "confidence_penalty", "dropconnect", "elastic_net", "gradient_clipping", "max_norm"),
    *("orthogonality", "sam"),
]

in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true", reason="needs Chromium: apt-get install chromium"
    ),
]


@pytest.fixture(scope="session")
def browser():
    assert CHROMIUM is not None, "CI=true and no Chromium: apt-get install chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Reports by kind, each written when it is first asked for."""
    root, written = tmp_path_factory.mktemp("reports"), {}

    def page(kind):
        if kind not in written:
            written[kind] = WRITERS[kind](root)
        return written[kind]

    return page


def _half(root):
    """A half-finished study with a hostile value."""
    study = write_study(
        root / "half", {"none": 0.89, "batchnorm": 0.905, "dropout": 0.88, "weight_decay": 0.892}, range(4), epochs=5,
        track_test=True, test_size=500, status={("dropout", 1): "failed"},
        overrides={"model.activation": HOSTILE, "dataset.classes": [HOSTILE, *"abcdefghi"]},
    )  # fmt: skip
    return write_report(load(study), study / "report")[0]


def _strength(root):
    """A sweep of one technique's strength."""
    strengths = {"none": 0.88} | {f"weight_decay coefficient={value}": 0.89 for value in (1e-5, 1e-4, 1e-3)}
    study = write_study(root / "strength", strengths, range(3), epochs=3, test_size=200)
    return write_report(load(study), study / "report")[0]


def _sizes(root):
    """Several families of settings, with a long name."""
    for size in (1000, 10000, 50000):
        write_study(
            root / "sizes", {"none": 0.89, "a_technique_with_a_very_long_name+another_one_as_long": 0.9}, range(2),
            epochs=2, test_size=100, overrides={"dataset.train_size": size},
        )  # fmt: skip
    return write_report(load(root / "sizes"), root / "sizes" / "report")[0]


def _many(root):
    """Eighteen settings on ten seeds for sixty epochs, with test curves."""
    settings = {"none": 0.89} | {name: 0.87 + 0.003 * place for place, name in enumerate(TECHNIQUES)}
    study = write_study(root / "many", settings, range(10), epochs=60, test_size=500, track_test=True)
    return write_report(load(study), study / "report")[0]


def _odd(root):
    """Settings whose names look like references, attributes, markup and colours."""
    for place, name in enumerate(ODD):
        write_study(
            root / "odd", {"none": 0.88 + 0.004 * place}, range(3), epochs=2, test_size=100,
            overrides={"model.activation": name},
        )  # fmt: skip
    return write_report(load(root / "odd"), root / "odd" / "report")[0]


def _run(root):
    """A single run."""
    study = write_study(root / "single", {"batchnorm": 0.9}, [0], epochs=5, track_test=True, test_size=500)
    run = next(study.glob("*/batchnorm-*/seed0"))
    return write_run_report(load(run), run, run / "report")


WRITERS = {"half": _half, "strength": _strength, "sizes": _sizes, "many": _many, "odd": _odd, "run": _run}


@pytest.fixture
def open_page(browser, pages):
    """Opens a report; afterwards nothing may have been logged, thrown, asked for in a dialog or fetched."""
    contexts, faults = [], []

    def open_report(kind, width=1280, scheme="light", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        address = pages(kind).as_uri()
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: request.url == address or request.url.startswith("data:") or faults.append(request.url),
        )
        page.goto(address)
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert faults == []
