"""What can be done with a report in a browser, and that all of it can be read where scripts do not run."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.formatting import points
from regbench.study.statistics import compare
from tests.study.report.conftest import HOSTILE, KINDS, ODD, TECHNIQUES, in_browser

pytestmark = in_browser


def figure(page, title):
    """The figure whose caption begins so."""
    return page.locator(f'figure:has(svg[aria-label^="{title}"])').first


def values(page, title):
    """What a figure tells of: (x, y, series, text), places in points of the figure."""
    names, *lines = figure(page, title).locator("svg").get_attribute("data-values").split("\n")
    split = (line.split("\t") for line in lines)
    return [(float(x), float(y), names.split("\t")[int(number)], text) for x, y, number, text in split]


def point_at(page, title, x, y):
    svg = figure(page, title).locator("svg")
    svg.scroll_into_view_if_needed()
    place = svg.evaluate(
        "(svg, [x, y]) => { const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM()); return [at.x, at.y]; }",
        [x, y],
    )
    page.mouse.move(*place)


def shown_parts(page, title, series):
    """How many of a series' parts are seen in a figure."""
    parts = figure(page, title).locator(f'svg [data-series="{series}"]')
    return sum(parts.nth(number).is_visible() for number in range(parts.count()))


def test_pointing_at_a_difference_tells_it_with_its_interval_and_verdict(open_page, pages):
    page = open_page("half")
    (family,) = comparisons(load(pages("half").parents[1]))
    for difference in compare(family):
        x, y, *_ = next(each for each in values(page, "Mean difference") if each[2] == difference.label)
        point_at(page, "Mean difference", x + 2, y - 2)
        tip = page.locator(".tip").inner_text()
        assert tip.startswith(difference.label)
        assert re.search(rf"{re.escape(points(difference.mean))} \(.* to .*\), {difference.verdict}$", tip)
    page.mouse.move(5, 5)
    assert page.locator(".tip").inner_text() == ""


def test_pointing_at_a_curve_tells_its_mean_and_deviation(open_page, pages):
    page = open_page("half")
    study = load(pages("half").parents[1])
    reached = study.history[(study.history["label"] == "batchnorm") & (study.history["epoch"] == 2)]["val/acc"]
    x, y, *_ = next(
        each for each in values(page, "Validation accuracy") if each[2] == "batchnorm" and "epoch 3" in each[3]
    )
    point_at(page, "Validation accuracy", x, y)
    expected = f"epoch 3: {100 * reached.mean():.2f} ± {100 * reached.std():.2f} %"
    assert page.locator(".tip").inner_text() == f"batchnorm\n{expected}"


def test_arrow_keys_go_from_value_to_value(open_page):
    page = open_page("half")
    title = "Validation accuracy"
    svg = figure(page, title).locator("svg")
    svg.focus()
    found = values(page, title)
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text().startswith("\n".join(found[0][2:]))
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text().startswith("\n".join(found[1][2:]))
    page.keyboard.press("ArrowDown")
    below = next(each for each in found if each[2] != found[0][2] and "epoch 2" in each[3])
    assert page.locator(".tip").inner_text().startswith("\n".join(below[2:]))


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_an_entry_of_a_legend_hides_and_shows_its_curve(open_page, how):
    page = open_page("half")
    title = "Validation accuracy"
    entry = figure(page, title).get_by_role("button", name="Show dropout")
    before = shown_parts(page, title, "dropout"), shown_parts(page, title, "batchnorm")
    assert min(before) >= 2

    def toggle():
        if how == "mouse":
            entry.click()
        else:
            entry.focus()
            page.keyboard.press("Enter")

    toggle()
    assert entry.get_attribute("aria-pressed") == "false"
    assert (shown_parts(page, title, "dropout"), shown_parts(page, title, "batchnorm")) == (0, before[1])
    assert shown_parts(page, "Validation loss", "dropout") > 0
    toggle()
    assert entry.get_attribute("aria-pressed") == "true"
    assert shown_parts(page, title, "dropout") == before[0]


def test_a_single_runs_legend_hides_a_split(open_page):
    page = open_page("run")
    figure(page, "Accuracy").get_by_role("button", name="Show validation").click()
    assert shown_parts(page, "Accuracy", "validation") == 0
    assert shown_parts(page, "Accuracy", "test") > 0


def test_a_setting_that_is_ticked_off_goes_from_tables_cards_and_figures(open_page):
    page = open_page("half")
    everywhere = page.locator('[data-series="dropout"]')
    there = [number for number in range(everywhere.count()) if everywhere.nth(number).is_visible()]
    assert len(there) > 10
    others = page.locator('tr[data-series="batchnorm"]').count()
    page.locator(".filter summary").click()
    page.locator(".filter label", has_text="dropout").click()
    assert page.locator(".filter summary").inner_text() == "Settings: 3 of 4 shown"
    assert not any(everywhere.nth(number).is_visible() for number in range(everywhere.count()))
    shown = page.locator('tr[data-series="batchnorm"]')
    assert sum(shown.nth(number).is_visible() for number in range(shown.count())) == others
    page.get_by_role("button", name="Hide all settings").click()
    assert page.locator("#results tbody tr:visible").count() == 0
    page.get_by_role("button", name="Show all settings").click()
    assert all(everywhere.nth(number).is_visible() for number in there)


@pytest.mark.parametrize("place", range(len(ODD)))
def test_a_setting_is_found_by_the_filter_whatever_its_name(open_page, pages, place):
    page = open_page("odd")
    (family,) = comparisons(load(pages("odd").parents[1]))
    name = family.labels[place]
    named = f"each => (each.dataset.series ?? each.dataset.entry) === {json.dumps(name)}"
    everywhere = f"[...document.querySelectorAll('[data-series], [data-entry]')].filter({named})"
    drawn = page.evaluate(f"{everywhere}.filter(each => each.closest('svg')).length")
    assert drawn > 20
    assert page.evaluate(f"{everywhere}.filter(each => each.textContent.trim() === {json.dumps(name)}).length") > 3
    page.locator(".filter summary").click()
    page.locator(".filter label").nth(place).click()
    assert page.locator(".filter summary").inner_text() == f"Settings: {len(ODD) - 1} of {len(ODD)} shown"
    assert page.evaluate(f"{everywhere}.filter(each => !each.classList.contains('filtered')).length") == 0
    assert page.locator(".filtered").count() == page.evaluate(f"{everywhere}.length")


def test_sections_fold_by_a_click_and_open_where_a_link_leads(open_page):
    page = open_page("half")
    section = page.locator("#configurations")
    section.locator("> details > summary").click()
    assert not section.locator("table").is_visible()
    page.locator('nav a[href="#configurations"]').click()
    assert section.locator("table").is_visible()
    page.get_by_role("button", name="Fold all").click()
    assert page.locator("section table:visible").count() == 0
    page.get_by_role("button", name="Open all").click()
    assert page.locator("section table:visible").count() == page.locator("section table").count()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_figure_is_enlarged_over_the_page_and_put_back(open_page, width):
    page = open_page("half", width)
    svg = figure(page, "Validation accuracy").locator("svg")
    button = figure(page, "Validation accuracy").get_by_role("button", name="Enlarge")
    before = svg.bounding_box()["width"]
    button.click()
    enlarged = page.locator("dialog svg[data-values]")
    fitted = enlarged.bounding_box()["width"]
    assert fitted > before
    assert page.locator("dialog").bounding_box()["width"] <= width
    page.get_by_role("button", name="Larger").click()
    assert enlarged.bounding_box()["width"] == pytest.approx(1.5 * fitted, abs=2)
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    assert svg.bounding_box()["width"] == pytest.approx(before)
    assert button.evaluate("button => button === document.activeElement")


@pytest.mark.parametrize("kind", ["half", "many"])
@pytest.mark.parametrize("width", [390, 1280])
def test_difference_and_verdict_are_seen_first_and_a_hint_tells_of_the_rest(open_page, kind, width):
    page = open_page(kind, width)
    heads = page.locator("#results thead th").all_inner_texts()
    assert [head.split(",")[0].strip() for head in heads[:3]] == ["setting", "difference", "verdict"]
    frame = page.locator("#results .wide").bounding_box()
    rows = page.locator("#results tbody tr")
    for number in range(rows.count()):
        for column in (1, 2):
            box = rows.nth(number).locator("td").nth(column - 1).bounding_box()
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 0.5
    assert page.locator("#results .hint").is_visible()
    assert page.locator("#results .table").evaluate("each => each.classList.contains('more')")
    page.locator("#results .wide").evaluate("each => { each.scrollLeft = each.scrollWidth; }")
    page.wait_for_function("!document.querySelector('#results .table').classList.contains('more')")


def test_eighteen_settings_stand_in_groups_and_panels_and_the_page_stays_small(open_page, pages):
    page = open_page("many")
    assert pages("many").stat().st_size < 2.5e6
    groups = page.locator("#verdicts .group")
    counted = [re.search(r"(\w+): (\d+) of 17", text) for text in groups.locator("> summary").all_inner_texts()]
    assert sum(int(found[2]) for found in counted) == len(TECHNIQUES)
    order = ["Better", "Worse", "Equivalent", "Undecided", "Too few seeds", "Did not act"]
    assert [found[1] for found in counted] == [name for name in order if name in {found[1] for found in counted}]
    for title in ("Validation accuracy", "Difference from none in validation accuracy"):
        panels = figure(page, title).locator("svg > g[data-series]")
        assert panels.count() >= len(TECHNIQUES)
    assert figure(page, "Mean difference").locator("svg [data-series]").count() >= len(TECHNIQUES)


def test_without_scripts_everything_is_there_to_be_read(open_page):
    page = open_page("half", java_script_enabled=False)
    assert page.locator("section > details[open]").count() == page.locator("section > details").count() > 5
    assert page.locator(".filter, .zoom, .tip").count() == 0
    assert page.locator("#results .hint").is_visible()
    assert page.locator("#verdicts li").first.is_visible()
    for svg in page.locator("figure > svg").all():
        assert svg.is_visible()
        assert svg.get_attribute("role") == "img"
        assert svg.get_attribute("aria-label")
    page.locator("#configurations > details > summary").click()
    assert not page.locator("#configurations table").is_visible()


def test_a_hostile_name_is_text_in_what_the_script_shows(open_page):
    page = open_page("half")
    pairs = [each for each in values(page, "none: percent") if HOSTILE in each[3]]
    point_at(page, "none: percent", *pairs[0][:2])
    assert HOSTILE in page.locator(".tip").inner_text()
    assert page.locator("script").count() == 1


@pytest.mark.parametrize("kind", [*KINDS, "many"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(open_page, kind, scheme):
    page = open_page(kind, scheme=scheme, bypass_csp=True)
    if page.locator(".filter").count():
        page.locator(".filter summary").click()
    found = Axe().run(page)
    grave = [each for each in found.response["violations"] if each["impact"] in {"serious", "critical"}]
    assert [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in grave] == []
    assert "svg-img-alt" in {each["id"] for each in [*found.response["passes"], *found.response["incomplete"]]}


def test_values_that_lie_on_each_other_are_told_together(open_page):
    page = open_page("half")
    title = "Training subset accuracy"
    found = values(page, title)
    near = [
        (one, other)
        for one in found
        for other in found
        if one[2] < other[2] and abs(one[0] - other[0]) + abs(one[1] - other[1]) < 1
    ]
    assert near
    point_at(page, title, *near[0][0][:2])
    told = page.locator(".tip").inner_text()
    assert all("\n".join(each[2:]) in told for each in near[0])
