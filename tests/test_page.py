"""The built-in page in real headless Chromium: every page, every action, hostile names, light and dark, no console error."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from urllib.parse import quote

import orjson
import pytest
from axe_core_python.selenium import Axe
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import Select, WebDriverWait

from alerts.channels.retrain import RetrainChannel
from alerts.notification import Notification
from alerts.retraining.policy import RetrainPolicy
from monitor.config import load_config
from monitor.files import replay_batches
from monitor.health import Health
from monitor.metrics import Metrics
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.store import open_store
from monitor.web import Access, Shown, Token, WebServer
from tests.seeded import NOW_MS, build
from tests.servers.chromium import Chromium

EVIL = "<img src=x onerror=\"document.title='pwned'\"></script><script>document.title='pwned'</script>'\"&{{7*7}}"
PAGE_BYTES = 300_000


@pytest.fixture(scope="module")
def browser():
    try:
        chromium = Chromium()
    except RuntimeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield chromium
    chromium.close()


def hostile(folder):
    """A second model whose version, feature, segment and labels are hostile."""
    path = folder / "evil.yaml"
    names = json.dumps({EVIL: "category"})
    path.write_text(
        f"store: {{url: 'sqlite:///{folder}/d.db'}}\nmodels: [{{name: evil, task: multiclass, features: {names}, "
        "segments: [channel], window: {size: 10s}, sample: {rows: 50}, min_rows: 5, reference: {first_windows: 1}, "
        "thresholds: {psi: {breach: 0.2}}}]\nalerts: {rules: [{name: drift, scores: [psi], channels: [log]}], "
        "channels: {log: {type: log}}}\n"
    )
    events = [
        {"event_id": f"e{i}", "ts": NOW_MS - 100_000 + i * 500, "model": "evil", "version": EVIL, "segment": {"channel": EVIL},
         "features": {EVIL: "a" if i < 40 else EVIL}, "prediction": {"label": EVIL}}
        for i in range(80)
    ]  # fmt: skip
    (folder / "evil.jsonl").write_bytes(b"\n".join(map(orjson.dumps, events)))
    cfg = load_config(path)
    store = open_store(cfg.store.url)
    models = build_models(cfg, store)
    pieces, _ = replay_batches(folder / "evil.jsonl", None, cfg, decode_settings(cfg, models), None)
    replay(pieces, build_engine(cfg, models, ("replay",)), store, NOW_MS)
    store.close()
    return models


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    _, cfg = build(folder)
    return folder, cfg, hostile(folder)


@pytest.fixture
def served(seeded, tmp_path):
    folder, cfg, evil = seeded
    shutil.copy(folder / "d.db", tmp_path / "d.db")
    store = open_store(f"sqlite:///{tmp_path}/d.db")
    servers = []

    def serve(access=None):
        health = Health()
        for say in (health.set_store, health.set_assigned, health.set_lag_known):
            say(True)
        shown = Shown(store, {**build_models(cfg, store), **evil}, {}, lambda: NOW_MS, f"# {EVIL}", "0.1")
        server = WebServer("127.0.0.1:0", Metrics(), health, None, access or Access(allow_actions=True), 10_000, shown)
        server.start()
        servers.append(server)
        return server

    serve.store = store
    yield serve
    for server in servers:
        server.stop()
    store.close()


def propose(store, key):
    channel = RetrainChannel(None, RetrainPolicy(mode="approve"), "retrain", store.retrains)
    n = Notification(
        key, "a" * 16, "firing", "threshold_crossed", "accuracy-fell", "critical", "credit", "3", "", "performance", "accuracy",
        0.7, 0.85, 500, NOW_MS - 60_000, NOW_MS, NOW_MS - 60_000, evidence={EVIL: EVIL},
    )  # fmt: skip
    channel.send(n, 1, NOW_MS)


class Page:
    def __init__(self, browser, server):
        self.driver, self.browser, self.base = browser.driver, browser, server.address

    def open(self, path):
        self.driver.get(self.base + path)
        return self.settled()

    def settled(self):
        WebDriverWait(self.driver, 30).until(lambda d: d.find_element(By.ID, "main").get_attribute("aria-busy") == "false")
        return self.text()

    def text(self):
        return self.driver.find_element(By.ID, "main").text

    def press(self, words):
        self.driver.find_element(By.XPATH, f"//main//button[normalize-space()='{words}']").click()

    def until(self, words):
        WebDriverWait(self.driver, 30).until(lambda d: words in d.find_element(By.ID, "main").text, words)

    def type(self, name, text, form="main"):
        field = self.driver.find_element(By.CSS_SELECTOR, f"{form} [name={name}]")
        field.clear()
        field.send_keys(text)

    def clean(self):
        errors = self.browser.errors()
        assert errors == [] and self.driver.title != "pwned", errors


@pytest.fixture
def page(browser, served):
    yield Page(browser, served())
    browser.driver.get("about:blank")  # or it goes on asking a server that is gone
    browser.errors()


def test_every_page_shows_what_is_stored(page, served):
    assert "credit" in page.open("/") and "evil" in page.text()
    text = page.open("/models/credit")
    assert "drift of every feature" in text and "income" in text and "accuracy" in text
    curve = page.driver.find_element(By.CSS_SELECTOR, "[aria-label^='Reliability, ece']").get_attribute("aria-label")
    assert "labelled row" in curve and " said, " in curve and " observed of " in curve
    canvases = page.driver.find_elements(By.CSS_SELECTOR, ".plot canvas")
    assert len(canvases) >= 4 and all(c.size["width"] > 200 for c in canvases)
    red = page.driver.find_elements(By.CSS_SELECTOR, ".heat .lv4")
    assert len(red) >= 4
    text = page.open("/models/credit/features/income")
    assert "Distribution against first_2_windows" in text and "psi" in text and "range" in text
    assert "write sample: {rows: 1000" in text
    assert "MA" in page.open("/models/credit/features/region")
    alert = served.store.reading.alerts(["firing"], "credit", 1, None)[0][0]
    assert alert["alert"][:8] in page.open("/alerts")
    text = page.open(f"/alerts/{alert['alert']}")
    assert "threshold crossed" in text and "Evidence" in text and "before" in text
    assert len(page.driver.find_elements(By.CSS_SELECTOR, ".plot canvas")) == 2
    assert "No retrain was ever asked for" in page.open("/retrains")
    assert "replay" in page.open("/status") and "accepted" in page.text()
    assert "Nothing is here" not in page.text()
    page.clean()


def test_links_go_without_a_reload_and_the_keyboard_reaches_them(page):
    page.open("/")
    page.driver.execute_script("window.kept = 1")
    page.driver.find_element(By.LINK_TEXT, "credit").click()
    page.until("The last window")
    page.settled()
    assert page.driver.execute_script("return window.kept") == 1 and page.driver.title.startswith("credit")
    assert page.driver.switch_to.active_element.get_attribute("id") == "main"
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert page.driver.switch_to.active_element.tag_name == "a"
    Select(page.driver.find_element(By.NAME, "segment")).select_by_visible_text("channel=web")
    page.until("The last window")
    WebDriverWait(page.driver, 30).until(lambda d: "segment=channel" in d.current_url)
    page.driver.back()
    page.settled()
    assert page.driver.find_element(By.CSS_SELECTOR, "nav [aria-current=page]").text == "Fleet"
    page.clean()


def test_an_alert_is_taken_and_given_back(page, served):
    name = served.store.reading.alerts(["firing"], "credit", 1, None)[0][0]["alert"]
    page.open(f"/alerts/{name}")
    page.type("author", "ada")
    page.type("comment", "mine")
    page.press("Acknowledge")
    page.until("by ada: mine")
    assert served.store.actions.alert_detail(name, NOW_MS)["ack"]["author"] == "ada"
    page.press("Give back")
    page.until("Acknowledge")
    assert served.store.actions.alert_detail(name, NOW_MS)["ack"] is None
    page.clean()


def test_a_silence_is_made_and_ended(page, served):
    page.open("/alerts")
    form = "form[aria-label='New silence']"
    for field, text in (("model", "credit"), ("subject", "income"), ("author", "ada"), ("reason", EVIL)):
        page.type(field, text, form)
    page.press("Silence")
    page.until("model=credit")
    (row,) = served.store.actions.list_silences(NOW_MS, "active")[0]
    assert row["matchers"] == {"model": ["credit"], "subject": ["income"]} or row["matchers"]["model"] in ("credit", ["credit"])
    assert row["reason"] == EVIL
    page.press("End it")
    page.until("No silence is active")
    page.clean()


def test_a_retrain_is_approved_and_another_rejected(page, served):
    propose(served.store, "retrain-key-1")
    assert "proposed" in page.open("/retrains")
    page.open("/retrains/retrain-key-1")
    page.type("author", "ada")
    page.press("Approve")
    page.until("waiting")
    assert served.store.retrains.get("retrain-key-1")["author"] == "ada"
    served.store.retrains.report("retrain-key-1", "failed", NOW_MS - 10**9)
    propose(served.store, "retrain-key-2")
    page.open("/retrains/retrain-key-2")
    page.type("author", "bob")
    page.press("Reject")
    page.until("rejected")
    page.clean()


def test_hostile_names_are_text_on_every_page(page, served):
    propose(served.store, "retrain-key-1")
    alert = served.store.reading.alerts(None, "evil", 1, None)[0][0]["alert"]
    feature = quote(EVIL, safe="")
    places = (
        "/",
        "/models/evil",
        f"/models/evil/features/{feature}",
        "/alerts",
        f"/alerts/{alert}",
        "/retrains/retrain-key-1",
        "/status",
    )
    for place in places:
        page.open(place)
        injected = "return document.querySelectorAll('main img, main script, main iframe').length"
        assert page.driver.execute_script(injected) == 0, place
        page.clean()
    assert EVIL in page.open("/models/evil") and EVIL in page.open(f"/models/evil/features/{feature}")
    kept = page.driver.find_element(By.XPATH, "//table[starts-with(caption, 'Sample: ')]")
    assert "of 20 kept" in kept.text and "Farthest from the reference: the model keeps no farthest rows" in page.text()


def test_where_tokens_guard_the_page_asks_for_one_and_only_reads_with_one_that_reads(browser, served):
    page = Page(browser, served(Access([Token.of("r", ["read"], "canary-read"), Token.of("a", ["act"], "canary-act")])))
    assert "Log in" in page.open("/") and "credit" not in page.text()
    page.browser.errors()  # the 401 itself is an entry
    page.type("token", "wrong")
    page.press("Log in")
    page.until("send the header")
    page.browser.errors()
    page.type("token", "canary-read")
    page.press("Log in")
    page.until("credit")
    page.clean()
    name = served.store.reading.alerts(["firing"], "credit", 1, None)[0][0]["alert"]
    page.open(f"/alerts/{name}")
    assert "Here you only read" in page.text() and page.driver.find_elements(By.CSS_SELECTOR, "main button, main form") == []
    assert served.store.actions.alert_detail(name, NOW_MS)["ack"] is None
    page.browser.errors()
    page.driver.find_element(By.ID, "login").click()
    page.until("Log in")
    assert "canary" not in page.driver.page_source
    page.browser.errors()


def test_what_is_not_there_says_so(page):
    assert "there is no model" in page.open("/models/nobody")
    page.browser.errors()  # the 404 itself is an entry
    assert "is no alert" in page.open("/alerts/ffffffffff") or "there is no alert" in page.text()
    page.browser.errors()


def places_of(store):
    """Every view, also of the hostile model."""
    propose(store, "retrain-key-1")
    alerts = [
        store.reading.alerts(status, model, 1, None)[0][0]["alert"] for status, model in ((["firing"], "credit"), (None, "evil"))
    ]
    evil = f"/models/evil/features/{quote(EVIL, safe='')}"
    return ["/", "/models/credit", "/models/credit/features/income", "/models/credit/features/region", "/models/evil", evil, "/alerts",
            "/alerts?status=all", *(f"/alerts/{a}" for a in alerts), "/retrains", "/retrains/retrain-key-1", "/status"]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(served, dark):
    """WCAG 2.1 AA and axe's best practices on every view: contrast, names, roles, order of headings."""
    server, chromium = served(), Chromium(dark=dark)
    try:
        page = Page(chromium, server)
        found = {}
        for place in places_of(served.store):
            page.open(place)
            if dark:
                assert page.driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
            only = {"runOnly": ["color-contrast"]} if dark else None
            for broken in Axe().run(page.driver, options=only)["violations"]:
                nodes = [f"{node['html'][:150]}: {node['failureSummary'][:300]}" for node in broken["nodes"][:2]]
                found[f"{place[:40]} {broken['id']}"] = nodes
        assert found == {}, json.dumps(found, indent=1)
        page.clean()
    finally:
        chromium.close()


def test_axe_would_find_a_field_without_a_name(page):
    page.open("/alerts")
    page.driver.execute_script("document.querySelector('main').append(document.createElement('input'))")
    assert [broken["id"] for broken in Axe().run(page.driver)["violations"]] == ["label"]


def test_nothing_is_wider_than_a_telephone(page, served, browser):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for place in places_of(served.store):
            page.open(place)
            assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 390, place
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_refresh_keeps_the_focus_of_the_keyboard(page):
    page.open("/alerts")
    link = page.driver.find_element(By.CSS_SELECTOR, "main table a")
    page.driver.execute_script("arguments[0].focus()", link)
    before = link.text
    page.driver.execute_script("import('/static/app.js').then((app) => app.refresh())")
    WebDriverWait(page.driver, 30).until(expected_conditions.staleness_of(link))
    assert page.driver.switch_to.active_element.text == before
    page.clean()


def test_a_feature_stands_beside_its_reference_in_every_window(page):
    text = page.open("/models/credit/features/income")
    assert "Values: median" in text and "reference" in text and "What describes it" in text
    row = page.driver.find_element(By.XPATH, "//td[.='p50']/..").text.split()
    assert row[0] == "p50" and float(row[1].replace(",", "")) > 1.4 * float(row[2].replace(",", "")), "incomes rose by 80 %"
    assert "Shares; dashed, of the reference" in page.open("/models/credit/features/region")
    page.driver.find_element(By.XPATH, "//main//button[.='Older']").click()
    WebDriverWait(page.driver, 30).until(lambda d: "start=" in d.current_url)
    page.settled()
    assert page.driver.find_element(By.XPATH, "//main//button[.='Newer']").is_enabled()
    page.clean()


def test_the_page_is_small_needs_nobody_else_and_is_served_safely(served):
    server = served()
    total = 0
    for name in ("", "static/style.css", "static/app.js", "static/vendor/uplot.js", "static/vendor/uplot.css", "static/icon.svg"):
        with urllib.request.urlopen(f"{server.address}/{name}") as answer:
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            body = answer.read()
            total += len(body)
            if "vendor" not in name:
                text = body.decode()
                assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
    from monitor.web.page import load

    assert total < sum(len(b) for b, _ in load().values()) < PAGE_BYTES
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/nothing.js"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.address + path)
