"""A browser with people in it. Everything that a page complains of is gathered: it must be nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect

SECONDS = 30
"""A test machine may be busy."""

_RULES = (Path(__file__).with_name("accessibility.js")).read_text()
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""
_NO_ANSWER = ("Failed to load resource", "WebSocket connection to")
"""What the browser itself says when an answer is an error, or nobody answers."""


class Person:
    """Somebody in a window of their own."""

    def __init__(self, house: House, context: BrowserContext) -> None:
        self.house = house
        self.context = context
        self.page: Page = context.new_page()

    def open(self, view: str = "") -> None:
        """Go to the console, or to a view of it."""
        self.page.goto(f"{self.house.base_url}/console{view and '#' + view}")

    def log_in(self, login: str, password: str) -> None:
        """From the page for those who are not logged in."""
        self.open()
        self.page.locator("input[name=login]").fill(login)
        self.page.locator("input[name=password]").fill(password)
        self.page.keyboard.press("Enter")
        expect(self.page.locator(".live.live")).to_have_count(1)

    def row(self, name: str) -> Any:
        """The row of a document, an account or whatever its first cell names."""
        return self.page.locator("tbody tr", has=self.page.locator("th", has_text=name))

    def choose(self, name: str, action: str) -> None:
        """From the menu of a document."""
        self.row(name).locator(".menu-button").click()
        self.page.get_by_role("menuitem", name=action).click()

    def must_not_stumble(self) -> None:
        """The rules of accessibility find nothing on the page as it is."""
        found: list[str] = self.page.evaluate(_RULES)
        if found:
            raise AssertionError("\n".join([self.page.url, *found]))


class House:
    """The browser and all windows in it."""

    def __init__(self, playwright: Playwright, base_url: str, socket_url: str) -> None:
        self.base_url = base_url
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self._own = (f"{base_url}/", f"{socket_url}/", f"{socket_url.replace('http', 'ws')}/", "data:", "blob:")
        self._trouble = 0
        program = shutil.which("chromium")
        assert program, "chromium is not installed"
        self._browser: Browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        expect.set_options(timeout=SECONDS * 1000)

    def person(self, **options: Any) -> Person:
        """A new window with nothing in it."""
        context = self._browser.new_context(**{"locale": "en-GB", "accept_downloads": True, **options})
        context.set_default_timeout(SECONDS * 1000)
        context.add_init_script(_TELL_VIOLATIONS)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(f"{error.error}"))
        context.on("request", lambda request: self._asked(request.url))
        context.on("page", lambda page: page.on("websocket", lambda socket: self._asked(socket.url)))
        return Person(self, context)

    @contextlib.contextmanager
    def trouble(self) -> Iterator[None]:
        """In this block answers are errors, on purpose."""
        self._trouble += 1
        yield
        self._trouble -= 1

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self._trouble and message.text.startswith(_NO_ANSWER):
            return
        self.complaints.append(message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith(self._own):
            self.foreign.append(url)
