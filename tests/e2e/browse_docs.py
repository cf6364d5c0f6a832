"""Opens /docs in headless Chromium, authorises with a token, tries GET /users/me, and tells what it saw as JSON."""

from __future__ import annotations

import json
import shutil
import sys
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

CALL = "#operations-Accounts-get_me"
MILLISECONDS = 60_000


def main(base_url: str, token: str, screenshot: str) -> None:
    """What the test looks at goes to standard output."""
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        page.set_default_timeout(MILLISECONDS)
        problems, origins = _watched(page)
        page.goto(f"{base_url}/docs")
        page.wait_for_selector(CALL)
        seen = {"operations": page.locator(".opblock").count(), **_tried(page, token)}
        page.screenshot(path=screenshot)
        browser.close()
    sys.stdout.write(json.dumps({**seen, "problems": problems, "origins": sorted(origins)}))


def _watched(page: Page) -> tuple[list[str], set[str]]:
    """What goes wrong in the page, and whom it asks; both grow while it is used. Pictures in data: URLs ask nobody."""
    problems: list[str] = []
    origins: set[str] = set()
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: origins.add("{0.scheme}://{0.netloc}".format(urlsplit(request.url))))
    return problems, origins


def _tried(page: Page, token: str) -> dict[str, str]:
    page.click("button.authorize")
    page.fill(".auth-container input", token)
    page.click(".auth-btn-wrapper button[type=submit]")
    page.click(".auth-btn-wrapper .btn-done")
    page.click(f"{CALL} .opblock-summary-control")
    page.click(f"{CALL} .try-out__btn")
    page.click(f"{CALL} .execute")
    answer = f"{CALL} .live-responses-table .response"
    status = page.inner_text(f"{answer} .response-col_status").strip()
    return {"status": status, "answer": page.inner_text(f"{answer} .response-col_description .microlight")}


if __name__ == "__main__":
    main(*sys.argv[1:])
