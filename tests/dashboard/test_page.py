"""The page in a browser: every screen and command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

import penstock as ps

from .asking import eventually
from .browser import chromium, opened
from .runs import MadeUp, counting, ladder, progress, step

SOURCE, MAP, AGGREGATE, SINK = (
    f"#node-pipeline_{name}" for name in ("source-1", "map-1", "running-aggregate-1", "sink-1")
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, shown: str) -> Iterator[Page]:
    with opened(browser, shown) as found:
        yield found


def test_the_first_screen_shows_the_pipeline_at_work(page: Page) -> None:
    for node in (SOURCE, MAP, AGGREGATE, SINK):
        expect(page.locator(node)).to_be_visible()
    expect(page.locator(SOURCE)).to_have_class(re.compile("busy"))
    expect(page.locator(".edges path")).to_have_count(3)
    expect(page.locator(".edges .flowing").first).to_be_attached()
    expect(page.locator(".tile", has_text="latency p99")).to_contain_text(re.compile(r"\d"))
    expect(page.locator(".tile.bad", has_text="dead letters")).to_be_visible()
    expect(page.locator(".promise.good")).to_contain_text("Exactly once, end to end")
    expect(page.locator(".timeline i").first).to_be_attached()
    expect(page.locator(f"{SOURCE} polyline")).to_be_attached()


def test_figures_move_by_themselves(page: Page) -> None:
    page.locator(SOURCE).click()
    rows = page.locator("dl div", has_text="rows out").locator("dd")
    before = rows.inner_text()
    expect(rows).not_to_have_text(before)


def test_a_click_shows_a_step(page: Page) -> None:
    page.locator(MAP).click()
    detail = page.get_by_role("complementary")
    expect(detail.locator(".plan")).to_contain_text("WithColumns")
    expect(detail.locator(".user-line")).to_contain_text(re.compile(r"runs\.py:\d+"))
    expect(detail.locator("td").first).to_be_visible()
    expect(detail.locator(".errors li").first).to_contain_text("conversion")
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)


def test_a_sink_shows_its_commits(page: Page) -> None:
    page.locator(SINK).click()
    detail = page.get_by_role("complementary")
    expect(detail).to_contain_text(re.compile("Has all rows up to epoch [0-9]"))
    expect(detail).to_contain_text("exactly once")
    expect(detail.locator(".commits li").first).to_be_visible()


def test_the_live_table_is_filtered_sorted_and_held(page: Page) -> None:
    page.goto(page.url.split("#")[0] + "#/results")
    rows = page.locator(".result tbody tr")
    expect(rows).to_have_count(5)
    page.get_by_role("searchbox").fill("key 3")
    expect(rows).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    key = page.locator("th", has_text="key")
    key.get_by_role("button").click()
    expect(key).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("key 4")
    page.get_by_role("button", name="Hold").click()
    expect(page.get_by_role("button", name="Go on")).to_have_attribute("aria-pressed", "true")
    held = rows.first.inner_text()
    charted = page.locator(".bars li b").first
    before = charted.inner_text()
    expect(charted).not_to_have_text(before)
    assert rows.first.inner_text() == held


def test_results_are_charted_and_saved(page: Page) -> None:
    page.get_by_role("link", name="Results").click()
    expect(page.locator(".bars li")).to_have_count(5)
    with page.expect_download() as saving:
        page.get_by_role("link", name="CSV").click()
    text = Path(saving.value.path()).read_text()
    assert text.startswith("key,rows,number\n")
    page.locator(".chips button").click()
    expect(page.locator(".result")).to_have_count(0)


def test_dead_letters_and_checkpoints(page: Page) -> None:
    page.get_by_role("link", name="Dead letters").click()
    expect(page.locator(".letters tbody tr").first).to_contain_text("conversion")
    page.get_by_role("searchbox").fill("no such letter")
    expect(page.locator(".letters tbody tr")).to_have_count(0)
    page.get_by_role("link", name="Checkpoints").click()
    expect(page.get_by_role("region", name="Checkpoints of").locator("td").first).to_be_visible()
    state = page.get_by_role("region", name="State of")
    expect(state).to_contain_text("running-aggregate-1")


def test_by_keyboard_alone(page: Page) -> None:
    page.locator(SOURCE).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(MAP)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_contain_text("Aggregate by")
    page.keyboard.press("Escape")
    expect(page.locator(AGGREGATE)).to_be_focused()


def test_dark_and_light_are_remembered(page: Page) -> None:
    theme = page.locator("html")
    expect(theme).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Dark or light").click()
    expect(theme).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(theme).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("screen", ["pipeline", "results", "dead-letters", "checkpoints"])
def test_in_a_window_400_wide_nothing_is_cut_off(browser: Browser, shown: str, screen: str) -> None:
    with opened(browser, f"{shown}#/{screen}", viewport={"width": 400, "height": 800}) as page:
        expect(page.locator(".node, .card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_pause_resume_and_stop(browser: Browser, tmp_path: Path) -> None:
    with ps.Dashboard(port=0) as dashboard:
        query = counting(tmp_path).start(ui=dashboard)
        with opened(browser, dashboard.address) as page:
            page.get_by_role("button", name="Pause").click()
            expect(page.locator(".state")).to_have_text("paused")
            page.get_by_role("button", name="Resume").click()
            expect(page.locator(".state")).to_have_text("running")
            page.once("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Stop").click()
            expect(page.locator(".notices")).to_contain_text("pipeline has stopped")
            expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        assert query.wait(60)


def test_two_hundred_steps_at_two_hundred_snapshots_a_second(browser: Browser) -> None:
    run = MadeUp(ladder(200))
    with ps.Dashboard(port=0, interval_s=0.005) as dashboard:
        dashboard.add(run, "large")
        with opened(browser, dashboard.address) as page:
            expect(page.locator(".node")).to_have_count(200)
            expect(page.locator("#node-large_sink-1")).to_have_class(re.compile("blocked"))
            expect(page.locator("#node-large_sink-1")).to_contain_text("back-pressured")
            run.snapshot = progress(step("only", rows_in=5), state="running")
            expect(page.locator(".node")).to_have_count(1)


def test_it_says_so_when_the_pipeline_is_away_fails_or_is_back(browser: Browser) -> None:
    run = MadeUp(progress(step("map")))
    with ps.Dashboard(port=0) as dashboard:
        dashboard.add(run, "mine")
        port = urlsplit(dashboard.address).port
        with opened(browser, dashboard.address) as page:
            expect(page.locator(".link")).to_have_text("live")
            run.snapshot = progress(step("map"), state="failed", last_error="<b>disk</b> full")
            expect(page.locator(".notices")).to_contain_text("mine failed: <b>disk</b> full")
            dashboard.close()
            expect(page.locator(".link")).to_have_text("not connected")
            expect(page.locator(".notices")).to_contain_text("does not answer")
            with eventually(lambda: _again(port)) as second:
                second.add(MadeUp(progress(step("map"), restarts=2)), "mine")
                expect(page.locator(".link")).to_have_text("live")
                expect(page.locator(".notices")).to_contain_text("was restarted 2 times")


def _again(port: int | None) -> ps.Dashboard | None:
    try:
        return ps.Dashboard(port=port)
    except ps.ConfigError:
        return None
