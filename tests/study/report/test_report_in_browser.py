"""The report in a browser: nothing fetched, nothing logged, tables sort, figures are drawn, a phone's screen is enough.

What its script adds is checked in `test_report_explored.py`; `conftest.py` says where the browser comes from.
"""

from pathlib import Path

import pytest

from tests.study.report.conftest import HOSTILE, KINDS, in_browser

pytestmark = in_browser


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_without_a_word_and_fits(open_page, kind, scheme):
    for width in (1280, 390):
        page = open_page(kind, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sticking_out = """width => [...document.querySelectorAll('body *')].filter(
            (each) => !each.closest('.wide') && !each.closest('svg') && each.getBoundingClientRect().right > width + 0.5
        ).map((each) => each.outerHTML.slice(0, 80))"""
        assert page.evaluate(sticking_out, width) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_and_every_image_in_it_is_drawn(open_page, kind):
    page = open_page(kind)
    boxes = page.eval_on_selector_all(
        "figure > svg", "all => all.map(each => [each.getBBox().width, each.getBoundingClientRect().height])"
    )
    assert len(boxes) >= 5
    assert all(width > 50 and height > 50 for width, height in boxes)
    broken = """async () => {
        const images = [...document.querySelectorAll('svg image')];
        const isDrawn = (source) => new Promise((done) => {
            const image = new Image();
            image.onload = () => done(image.naturalWidth > 0);
            image.onerror = () => done(false);
            image.src = source;
        });
        const drawn = await Promise.all(images.map((each) => isDrawn(each.getAttribute('xlink:href'))));
        return [images.length, drawn.filter((each) => !each).length]; }"""
    count, failed = page.evaluate(broken)
    assert count > 0
    assert failed == 0
    referenced = """() => [...document.querySelectorAll('svg use')].filter(
        (each) => !document.getElementById(each.getAttribute('xlink:href').slice(1))).length"""
    assert page.evaluate(referenced) == 0


def column(page, index):
    return page.eval_on_selector_all(
        "#results table tbody tr", f"rows => rows.map(row => row.cells[{index}].textContent.trim())"
    )


def numbers(page, index):
    """A column's leading numbers; the baseline's difference is 0."""
    firsts = [text.split()[0].replace("−", "-").replace(",", "") for text in column(page, index)]
    return [0.0 if first == "baseline" else float(first) for first in firsts]


def test_a_table_sorts_by_any_column_both_ways(open_page):
    page = open_page("half")
    heads = page.locator("#results table thead button").all_inner_texts()
    for name in ("test accuracy", "gap", "parameters", "difference, 95 % interval"):
        index = heads.index(name)
        button = page.locator("#results table thead button").nth(index)
        button.click()
        assert numbers(page, index) == sorted(numbers(page, index), reverse=True)
        assert page.locator("#results th[aria-sort]").count() == 1
        button.click()
        assert page.locator("#results th").nth(index).get_attribute("aria-sort") == "ascending"
        assert numbers(page, index) == sorted(numbers(page, index))
    page.locator("#results table thead button").first.click()
    assert column(page, 0) == sorted(column(page, 0))


def test_unknown_values_stay_below_whichever_way_a_table_is_sorted(open_page):
    page = open_page("half")
    index = page.locator("#results table thead button").all_inner_texts().index("adjusted p")
    for _ in range(2):
        page.locator("#results table thead button").nth(index).click()
        assert column(page, index)[-1] == "–"


def test_a_table_sorts_by_keyboard(open_page):
    page = open_page("half")
    page.locator("#results table thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#results th").first.get_attribute("aria-sort") == "ascending"


def test_a_script_in_a_configuration_is_text(open_page):
    page = open_page("half")
    assert page.locator("script").count() == 1
    assert HOSTILE in page.locator("#configurations details pre").first.text_content()
    assert page.locator("svg script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(open_page, scheme):
    page = open_page("half", scheme=scheme)
    contrast = """() => {
        const shade = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const paper = shade(getComputedStyle(document.body).backgroundColor);
        const inks = ['body', '.lead', '.note', 'figcaption', '.better .badge', '.few .badge', 'svg text', 'nav a']
            .map((name) => document.querySelector(name)).filter(Boolean)
            .map((each) => shade(each.closest('svg') ? getComputedStyle(each).fill : getComputedStyle(each).color));
        return inks.map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)); }"""
    ratios = page.evaluate(contrast)
    assert len(ratios) >= 6
    assert min(ratios) > 4.5


def test_printing_gives_pages_on_white_with_the_configurations_open(open_page, tmp_path: Path):
    page = open_page("half", scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
