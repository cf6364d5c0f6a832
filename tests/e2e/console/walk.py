"""One walk through the console, step by step: ``python -m tests.e2e.console.walk SETTINGS.json RESULTS.json``.

A step is a function whose docstring is the fact that it proves. They share a system and a browser, and come in order;
one that fails does not keep the others from being tried.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.e2e.accounts import Account
from tests.e2e.console.browser import House, Person
from tests.support.waiting import wait_until

HOSTILE = "<img src=x onerror=alert(1)>.html"
PASSWORD = "correct horse battery"

Step = Callable[["Walk"], None]

STEPS: list[Step] = []


def step(function: Step) -> Step:
    """The next step."""
    STEPS.append(function)
    return function


class Walk:
    """Anna at her desk, and at a second one; an administrator; a program that does as Anna does."""

    def __init__(self, house: House, login: str, admin_password: str) -> None:
        self.house = house
        self.login = login
        self.program = Account(house.base_url, login, PASSWORD)
        self.admin_password = admin_password
        self.anna: Person = house.person(viewport={"width": 1200, "height": 800})
        self.again: Person = house.person()
        self.admin: Person = house.person()


@step
def a_wrong_password_is_told_and_a_right_one_lets_in(walk: Walk) -> None:
    """The reason stands in the form, in words; afterwards the documents are there and changes come live."""
    page = walk.anna.page
    walk.anna.open()
    with walk.house.trouble():
        page.get_by_label("Login").fill(walk.login)
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert").filter(has_text="Login or password is wrong.")).to_be_visible()
    walk.anna.must_not_stumble()
    walk.anna.log_in(walk.login, PASSWORD)
    expect(page.get_by_role("heading", name="Documents", level=1)).to_be_visible()
    walk.again.log_in(walk.login, PASSWORD)
    stored = page.evaluate("[Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]")
    assert stored == [[], ["docsave.session"], ""], stored


@step
def several_uploads_at_once_with_progress(walk: Walk) -> None:
    """Chosen together, an empty one among them; each has its bar; a name that looks like markup is a name."""
    page = walk.anna.page
    files = [("offer.txt", b"Offer"), ("empty.txt", b""), (HOSTILE, b"<script>alert(2)</script>"), ("x.bin", b"x")]
    chosen: list[Any] = [{"name": name, "mimeType": "text/plain", "buffer": content} for name, content in files]
    page.locator("#upload-input").set_input_files(chosen)
    for name, _ in files:
        expect(page.get_by_role("progressbar", name=f"Upload of {name}")).to_be_visible()
        expect(walk.anna.row(name)).to_be_visible()
    expect(page.locator(".uploads li.done")).to_have_count(4)
    assert page.locator("tbody img, tbody script").count() == 0
    assert {(file["name"], file["size"]) for file in walk.program.documents()} == {(n, len(c)) for n, c in files}
    walk.anna.must_not_stumble()


@step
def the_copy_in_the_backup_is_seen_when_it_is_safe(walk: Walk) -> None:
    """Pending turns into protected without a reload."""
    expect(walk.anna.row("offer.txt").locator(".badge")).to_have_text("Protected")
    expect(walk.again.row("offer.txt").locator(".badge")).to_have_text("Protected")


@step
def what_is_dropped_is_uploaded_where_one_is(walk: Walk) -> None:
    """Into the folder that is open; the page shows that it will take it."""
    page = walk.anna.page
    walk.anna.open("files?folder=clients/acme")
    expect(page.get_by_text("No documents here.")).to_be_visible()
    data = page.evaluate_handle(
        "() => { const data = new DataTransfer(); data.items.add(new File(['dropped'], 'dropped.txt')); return data; }"
    )
    place = page.locator(".files-view")
    place.dispatch_event("dragenter", {"dataTransfer": data})
    expect(page.locator(".drop-hint")).to_be_visible()
    place.dispatch_event("drop", {"dataTransfer": data})
    expect(walk.anna.row("dropped.txt")).to_be_visible()
    expect(page.locator(".drop-hint")).to_be_hidden()
    (file,) = walk.program.documents(folder="clients/acme")
    assert (file["name"], file["folder"]) == ("dropped.txt", "clients/acme")
    page.get_by_role("link", name="All documents").click()
    expect(page.get_by_role("link", name="clients")).to_be_visible()


@step
def a_broken_upload_goes_on_where_it_was(walk: Walk) -> None:
    """The line is cut in the middle; when it is back the rest is sent, and the bytes are the right ones."""
    page = walk.anna.page
    content = os.urandom(1024 * 1024) * 90
    with tempfile.TemporaryDirectory() as directory, walk.house.trouble():
        path = Path(directory) / "plans.zip"
        path.write_bytes(content)
        page.locator("#upload-input").set_input_files(path)
        page.wait_for_function("() => document.querySelector('progress[aria-label*=plans]')?.value > 1e6")
        walk.anna.context.set_offline(True)
        expect(page.get_by_text("The connection broke off.")).to_be_visible()
        walk.program.save("meanwhile.txt", b"while the line is cut")
        walk.anna.context.set_offline(False)
        expect(page.locator(".uploads li", has_text="plans.zip")).to_have_class("done")
    (file,) = walk.program.documents(q="plans.zip")
    assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


@step
def what_was_missed_while_the_line_was_cut_comes_afterwards(walk: Walk) -> None:
    """The connection to the notifier broke, too; the change of that time is there without a reload."""
    expect(walk.anna.row("meanwhile.txt")).to_be_visible()
    expect(walk.anna.page.locator(".live.live")).to_have_text("Live")


@step
def an_upload_can_be_cancelled(walk: Walk) -> None:
    """Nothing of it becomes a document."""
    page = walk.anna.page
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "unwanted.bin"
        path.write_bytes(bytes(48 * 1024 * 1024))
        with walk.house.trouble():
            page.locator("#upload-input").set_input_files(path)
            page.get_by_role("button", name="Cancel the upload of unwanted.bin").click()
            expect(page.locator(".uploads li", has_text="unwanted.bin")).to_have_class("cancelled")
    page.get_by_role("button", name="Clear the finished ones").click()
    assert walk.program.documents(q="unwanted") == []


@step
def a_rename_is_seen_at_the_other_desk(walk: Walk) -> None:
    """At once, in its place in the order; a rename of what somebody else changed meanwhile is refused."""
    page = walk.anna.page
    walk.anna.choose("offer.txt", "Rename or move")
    page.get_by_label("Name", exact=True).fill("Final offer.txt")
    page.get_by_role("button", name="Save").click()
    expect(walk.again.row("Final offer.txt")).to_be_visible()
    expect(walk.again.page.get_by_text("offer.txt", exact=True)).to_have_count(0)
    names = walk.again.page.locator("tbody .open").all_text_contents()
    assert names == sorted(names, key=str.lower), names
    walk.anna.choose("x.bin", "Rename or move")
    (file,) = walk.program.documents(q="x.bin")
    walk.program.rename(file["id"], "y.bin")
    with walk.house.trouble():
        page.get_by_label("Name", exact=True).fill("z.bin")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Somebody changed this document meanwhile.")).to_be_visible()
    walk.anna.must_not_stumble()
    page.keyboard.press("Escape")
    assert walk.program.look(file["id"]).json()["name"] == "y.bin"


@step
def labels_are_changed_and_seen_at_the_other_desk(walk: Walk) -> None:
    """One a line; a name that cannot be is refused in the form, beside the field; without lines there are none."""
    page = walk.anna.page
    walk.anna.choose("y.bin", "Labels")
    field = page.get_by_role("dialog").get_by_label("Labels", exact=True)
    expect(field).to_be_focused()
    with walk.house.trouble():
        field.fill("not a name = 1")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog")).to_contain_text("must be named with")
    field.fill("crm.deal = 42\nurgent")
    page.get_by_role("button", name="Save").click()
    expect(walk.again.row("y.bin").locator(".label")).to_have_text(["crm.deal = 42", "urgent"])
    (file,) = walk.program.documents(q="y.bin")
    assert file["labels"] == {"crm.deal": "42", "urgent": ""}
    walk.anna.choose("y.bin", "Labels")
    expect(field).to_have_value("crm.deal = 42\nurgent")
    field.fill("")
    page.get_by_role("button", name="Save").click()
    expect(walk.again.row("y.bin").locator(".label")).to_have_count(0)
    walk.anna.must_not_stumble()


@step
def a_search_and_an_order_find_what_one_looks_for(walk: Walk) -> None:
    """By a part of the name, in all folders; the largest first."""
    page = walk.anna.page
    page.get_by_label("Search by name").fill("DROP")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(walk.anna.row("dropped.txt")).to_contain_text("clients/acme")
    page.get_by_label("Search by name").fill("")
    expect(walk.anna.row("plans.zip")).to_be_visible()
    page.get_by_role("button", name="Size").click()
    expect(page.locator("tbody tr").last).to_contain_text("plans.zip")
    page.get_by_role("button", name="Size").click()
    expect(page.locator("tbody tr").first).to_contain_text("plans.zip")
    expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("Size"))


@step
def a_download_is_the_browsers_own(walk: Walk) -> None:
    """Its bytes and its name are right, and no token of the session is in its address."""
    page = walk.anna.page
    with page.expect_download() as started:
        walk.anna.row("Final offer.txt").get_by_role("button", name="Final offer.txt", exact=True).click()
    download = started.value
    assert Path(download.path()).read_bytes() == b"Offer"
    assert download.suggested_filename == "Final offer.txt"
    token = json.loads(page.evaluate("sessionStorage['docsave.session']"))["access"]
    assert "ticket=" in download.url
    assert token not in download.url


@step
def an_earlier_version_comes_back(walk: Walk) -> None:
    """The history lists every version; one is restored as a new one, and one is downloaded."""
    page = walk.anna.page
    (file,) = walk.program.documents(q="Final offer")
    walk.program.replace(file["id"], b"Another offer")
    expect(walk.anna.row("Final offer.txt").locator(".badge")).to_have_text("Protected")
    expect(walk.anna.row("Final offer.txt").locator(".version")).to_have_text("3")
    walk.anna.choose("Final offer.txt", "History")
    expect(page.locator("dialog tbody tr")).to_have_count(3)
    walk.anna.must_not_stumble()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download version 1").click()
    assert Path(started.value.path()).read_bytes() == b"Offer"
    page.get_by_role("button", name="Restore version 1").click()
    expect(page.get_by_text("Version 1 is the current one again, as version 4.")).to_be_visible()
    expect(walk.anna.row("offer.txt").locator(".version").first).to_have_text("4")
    assert walk.program.download(file["id"]).content == b"Offer"


@step
def the_trash_gives_back_and_forgets(walk: Walk) -> None:
    """Deleted, seen in the trash, restored; deleted again and, after a question, removed for good."""
    page = walk.anna.page
    walk.anna.choose(HOSTILE, "Move to trash")
    expect(walk.anna.row(HOSTILE)).to_have_count(0)
    expect(walk.again.row(HOSTILE)).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    walk.anna.choose(HOSTILE, "Restore")
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    expect(walk.again.row(HOSTILE)).to_be_visible()
    walk.again.choose(HOSTILE, "Move to trash")
    walk.anna.choose(HOSTILE, "Remove for good")
    expect(page.get_by_role("dialog")).to_contain_text(f"{HOSTILE} cannot be restored")
    page.get_by_role("button", name="Cancel").click()
    expect(walk.anna.row(HOSTILE)).to_be_visible()
    walk.anna.choose(HOSTILE, "Remove for good")
    page.get_by_role("dialog").get_by_role("button", name="Remove for good").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    assert walk.program.documents(deleted="true") == []
    walk.anna.must_not_stumble()


@step
def an_account_has_its_keys_and_sessions(walk: Walk) -> None:
    """A key is shown once and works until it is ended; the other sessions are listed; the usage is told."""
    page = walk.anna.page
    page.get_by_role("link", name="Account").click()
    expect(page.locator("dd", has_text="MB").first).to_be_visible()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("CRM")
    walk.anna.must_not_stumble()
    page.get_by_role("button", name="Create").click()
    key = page.locator("code.secret").text_content() or ""
    assert key.startswith("dsk_")
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    expect(walk.anna.row("CRM")).to_contain_text(key[:8])
    assert key not in page.content()
    page.get_by_role("button", name="End the key: CRM").click()
    page.get_by_role("dialog").get_by_role("button", name="End the key").click()
    expect(page.get_by_text("No keys.")).to_be_visible()
    expect(page.get_by_text("this one")).to_have_count(1)
    assert page.get_by_role("button", name=re.compile("^End the session")).count() >= 2
    walk.anna.must_not_stumble()


@step
def a_webhook_shows_its_lag_and_why_it_fails(walk: Walk) -> None:
    """Made, its secret shown once; behind by the change that cannot be delivered, for how long and why; tested, what
    was sent listed; paused, resumed."""
    page = walk.anna.page
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("button", name="New webhook").click()
    page.get_by_label("Address").fill("https://crm.invalid/docsave")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("code.secret")).to_have_text(re.compile("^whsec_"))
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    walk.program.save("for the CRM.txt", b"x")
    row = walk.anna.row("https://crm.invalid/docsave")
    expect(row).to_contain_text("Failing")
    expect(row.locator("td.size")).to_have_text(re.compile(r"^1for \d+ secs?$"))
    expect(row).to_contain_text(re.compile("name not found.*tries, the next one"))
    row.get_by_role("button", name="Test").click()
    expect(page.get_by_text("A test message is on its way.")).to_be_visible()
    wait_until(lambda: _what_was_sent(walk.program) == {"event": "failed", "test": "failed"}, 30)
    row.get_by_role("button", name="Deliveries").click()
    sent = page.get_by_role("dialog").get_by_role("row")
    expect(sent.filter(has_text="Test message")).to_contain_text(re.compile("Failed.*name not found"))
    expect(sent.filter(has_text="Created #")).to_contain_text(re.compile("Failed.*name not found"))
    walk.anna.must_not_stumble()
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("Paused")
    row.get_by_role("button", name="Resume").click()
    expect(row).not_to_contain_text("Paused")
    walk.anna.must_not_stumble()


def _what_was_sent(person: Account) -> dict[str, str]:
    """State of each kind of delivery to the person's one webhook."""
    (hook,) = person.session.get(f"{person.base_url}/webhooks", timeout=30).json()["items"]
    sent = person.session.get(f"{person.base_url}/webhooks/{hook['id']}/deliveries", timeout=30).json()["items"]
    return {each["kind"]: each["state"] for each in sent}


@step
def the_keyboard_is_enough(walk: Walk) -> None:
    """From the log-in to a renamed document without a mouse; the focus is never lost."""
    one = walk.house.person()
    page, press = one.page, one.page.keyboard.press
    one.open()
    expect(page.get_by_label("Login")).to_be_focused()
    page.keyboard.type(walk.login)
    press("Tab")
    page.keyboard.type(PASSWORD)
    press("Enter")
    expect(one.row("meanwhile.txt")).to_be_visible()
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    wanted = one.row("meanwhile.txt").locator(".menu-button")
    for _ in range(60):
        press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            break
    press("Enter")
    expect(page.get_by_role("menuitem", name="Download")).to_be_focused()
    press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Rename or move")).to_be_focused()
    press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    press("ControlOrMeta+a")
    page.keyboard.type("typed.txt")
    press("Enter")
    expect(one.row("typed.txt").locator(".menu-button")).to_be_focused()
    press("Enter")
    press("Escape")
    expect(one.row("typed.txt").locator(".menu-button")).to_be_focused()
    one.context.close()


@step
def a_session_that_ends_asks_again_and_nothing_is_lost(walk: Walk) -> None:
    """It is ended from elsewhere while a form is open: the password is asked for above it, then what was typed is
    saved. Who gives another account's password gets that account, and nothing of the one before."""
    page = walk.anna.page
    walk.anna.open("files")
    walk.anna.choose("y.bin", "Rename or move")
    page.get_by_label("Name", exact=True).fill("typed before.bin")
    with walk.house.trouble():
        assert walk.program.session.delete(f"{walk.house.base_url}/sessions").status_code == 204
        page.get_by_role("button", name="Save").dispatch_event("click")
        asked = page.get_by_role("dialog", name="Log in again")
        expect(asked).to_be_visible()
        page.keyboard.press("Escape")
        expect(asked).to_be_visible()
        assert asked.get_by_label("Login").input_value() == walk.login
        asked.get_by_label("Password").fill(PASSWORD)
        asked.get_by_role("button", name="Log in").click()
        expect(walk.anna.row("typed before.bin")).to_be_visible()
        expect(page.locator(".live.live")).to_have_text("Live")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert json.loads(page.evaluate("sessionStorage['docsave.session']"))["refresh"]


@step
def a_duplicated_tab_shares_the_refreshes(walk: Walk) -> None:
    """Both tabs need a new token at the same moment: one trades, the session of neither ends."""
    page = walk.anna.page
    stored = page.evaluate("sessionStorage['docsave.session']")
    old = json.dumps({**json.loads(stored), "until": 0})
    page.evaluate("old => sessionStorage.setItem('docsave.session', old)", old)
    page.reload()
    twin = walk.anna.context.new_page()
    twin.add_init_script(f"sessionStorage['docsave.session'] ??= {old!r}")
    twin.goto(f"{walk.house.base_url}/console")
    for each in (page, twin):
        expect(each.locator(".live.live")).to_have_text("Live")
    assert json.loads(page.evaluate("sessionStorage['docsave.session']"))["refresh"] != json.loads(stored)["refresh"]
    twin.close()


@step
def everything_is_there_in_french(walk: Walk) -> None:
    """Who asks for French gets it, sizes and dates too; it can be changed, and stays changed."""
    one = walk.house.person(locale="fr-FR", viewport={"width": 375, "height": 700})
    page = one.page
    one.log_in(walk.login, PASSWORD)
    assert page.evaluate("document.documentElement.lang") == "fr"
    expect(page.get_by_role("button", name="Téléverser")).to_be_visible()
    expect(one.row("plans.zip")).to_contain_text("94,4 Mo")
    one.must_not_stumble()
    for view, title in [("trash", "Corbeille"), ("webhooks", "Webhooks"), ("account", "Compte")]:
        one.open(view)
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        if view == "webhooks":
            expect(one.row("https://crm.invalid/docsave")).to_contain_text(re.compile(r"depuis \d+\s.*nom introuvable"))
        one.must_not_stumble()
    page.get_by_label("Langue").select_option("en")
    expect(page.get_by_role("heading", name="Account", level=1)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Account", level=1)).to_be_visible()
    one.context.close()


@step
def administrators_see_everybodys_documents(walk: Walk) -> None:
    """Live, with their owners; Anna has no such view and gets none by its address."""
    page = walk.admin.page
    walk.admin.log_in("admin", walk.admin_password)
    page.get_by_label("Whose documents").select_option("all")
    expect(walk.admin.row("plans.zip").filter(has_text=walk.login)).to_be_visible()
    walk.program.save("everybody.txt", b"x")
    expect(walk.admin.row("everybody.txt")).to_contain_text(walk.login)
    walk.admin.must_not_stumble()
    walk.anna.open("users")
    expect(walk.anna.page.get_by_role("heading", name="Documents", level=1)).to_be_visible()
    expect(walk.anna.page.get_by_role("link", name="Users")).to_have_count(0)


@step
def administrators_keep_accounts(walk: Walk) -> None:
    """One is made, given a quota, shut out and let in again."""
    page, login = walk.admin.page, f"new-{walk.login}"
    page.get_by_role("link", name="Users").click()
    page.get_by_role("button", name="New user").click()
    page.get_by_label("Login", exact=True).fill(login)
    with walk.house.trouble():
        page.get_by_label("Password").fill("short")
        page.get_by_role("button", name="Create").click()
        expect(page.locator("input[name=password][aria-invalid]")).to_be_focused()
    walk.admin.must_not_stumble()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create").click()
    page.get_by_label("Search by login").fill(login)
    row = walk.admin.row(login)
    row.get_by_role("button", name="Change").click()
    page.get_by_label("Quota").fill("1.5 GB")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("1.5 GB")
    row.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("Disabled")
    row.get_by_role("button", name="Enable").click()
    expect(row).to_contain_text("Active")
    walk.admin.must_not_stumble()


@step
def administrators_see_the_trail_the_backup_and_the_health(walk: Walk) -> None:
    """What was just done is in the audit trail; every part answers; the backup is up to date."""
    page = walk.admin.page
    page.get_by_role("link", name="Audit trail").click()
    expect(page.locator("tbody tr", has_text=f"new-{walk.login}").first).to_be_visible()
    page.get_by_label("Action").fill("login_failed")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody code").first).to_have_text("login_failed")
    walk.admin.must_not_stumble()
    page.get_by_role("link", name="System").click()
    for part in ("broker", "database", "users", "files", "backup", "notifier", "webhooks"):
        expect(page.locator(".facts > div", has=page.locator("dt", has_text=part)).first).to_contain_text("Works")
    lag = page.locator(".facts > div", has_text="Changes not copied yet")
    expect(lag.locator("dd")).to_have_text("0")
    walk.admin.must_not_stumble()


@step
def logging_out_leaves_nothing_in_the_tab(walk: Walk) -> None:
    """The tokens are gone from the tab, and the session from the server."""
    page = walk.anna.page
    refresh = json.loads(page.evaluate("sessionStorage['docsave.session']"))["refresh"]
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in to docsave")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    assert "plans.zip" not in page.content()
    spent = walk.program.session.post(f"{walk.house.base_url}/token/refresh", json={"refresh_token": refresh})
    assert spent.status_code == 401, spent.text


@step
def no_page_complained_and_nothing_foreign_was_asked_for(walk: Walk) -> None:
    """No error in the browser's console, nothing against the policy, no request to anybody else, in all of the above.
    A script that gets into the page is not run: that is told, which shows that it would be heard."""
    assert walk.house.complaints == []
    assert walk.house.foreign == []
    page = walk.admin.page
    with page.expect_console_message(lambda message: "policy: script-src" in message.text):
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    assert page.evaluate("window.ran") is None
    assert any("policy: script-src" in complaint for complaint in walk.house.complaints)


def main(settings_file: str, results_file: str) -> None:
    """Walk, and write down for each step None or how it failed."""
    settings = json.loads(Path(settings_file).read_text())
    results: dict[str, str | None] = {}
    with sync_playwright() as playwright:
        house = House(playwright, settings["base_url"], settings["socket_url"])
        walk = Walk(house, settings["login"], settings["admin_password"])
        for each in STEPS:
            try:
                each(walk)
                results[each.__name__] = None
            except Exception:
                results[each.__name__] = traceback.format_exc()
    Path(results_file).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
