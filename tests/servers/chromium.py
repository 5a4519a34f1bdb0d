"""Headless Chromium (Debian's chromium and chromium-driver) for tests of pages; traffic to loopback only."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any


class Chromium:
    """One browser. Raises RuntimeError where Chromium or its driver is missing."""

    def __init__(self, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if browser is None or driver is None:
            raise RuntimeError("chromium and chromedriver are missing: apt-get install chromium chromium-driver")
        self._profile = tempfile.mkdtemp(prefix="driftd-chromium-")
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        quiet = (
            "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
            "disable-component-update", "disable-sync", "disable-dev-shm-usage", "disable-default-apps", "mute-audio",
            f"window-size={width},{height}", f"user-data-dir={self._profile}",
            "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
        )  # fmt: skip
        for argument in quiet:
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_page_load_timeout(60)
        if dark:
            media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def errors(self) -> list[dict[str, Any]]:
        """What the console said since the last call, at the level of an error."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def close(self) -> None:
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)
