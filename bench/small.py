"""Small requests: uploads and downloads of 20 KB, and pages of a list."""

from __future__ import annotations

import itertools
import json
from functools import partial

from bench import wire
from bench.programs import Server
from bench.rounds import SECONDS, Row, at_least, at_most, in_turn, median, ratio

UPLOAD_TARGETS = {1: 0.5, 8: 1.0, 32: 1.0}
DOWNLOADS_AT_ONCE = 32
LISTS_AT_ONCE = 16
LISTED = 10_000
LIST = "/files?limit=100"
_numbers = itertools.count()


def upload(server: Server) -> bytes:
    """The request for a new file of 20 KB."""
    if not server.token:
        return wire.request("PUT", f"/small-{next(_numbers)}", body=wire.new_content())
    return wire.request("POST", "/files?name=a.bin", server.token, wire.new_content())


def uploads(ours: Server, theirs: Server, limit: Server) -> list[Row]:
    """With backup and notifier at work beside it, which the others do not have."""
    rows = []
    for at_once, target in UPLOAD_TARGETS.items():
        slowest: dict[str, list[float]] = {server.name: [] for server in (ours, theirs, limit)}

        def rate(server: Server, at_once: int = at_once, slowest: dict[str, list[float]] = slowest) -> float:
            found = wire.load(server.port, at_once, SECONDS, partial(upload, server))
            slowest[server.name].append(found.p99)
            return found.rate

        rates = in_turn(partial(rate, ours), partial(rate, theirs), partial(rate, limit))
        each = " : ".join(map(median, rates))
        metric = f"uploads of 20 KB, {at_once} at once, of the monolith's rate"
        rows.append(at_least(metric, target, ratio(rates[0], rates[1]), f"docsave : monolith : nginx {each} a second"))
        if at_once > 1:
            slow = [slowest[server.name] for server in (ours, theirs)]
            each = f"{median(slow[0])} : {median(slow[1])} ms"
            rows.append(at_most(f"their p99, {at_once} at once, of the monolith's", 1.0, ratio(*slow), each))
    return rows


def downloads(ours: Server, theirs: Server) -> list[Row]:
    """One file each, again and again: from the kernel's memory."""
    paths = {server.name: path_of_new_file(server) for server in (ours, theirs)}

    def rate(server: Server) -> float:
        get = wire.request("GET", paths[server.name], server.token)
        return wire.load(server.port, DOWNLOADS_AT_ONCE, SECONDS, lambda: get).rate

    rates = in_turn(partial(rate, ours), partial(rate, theirs))
    detail = f"{median(rates[0])} : {median(rates[1])} a second"
    return [at_least("downloads of 20 KB, 32 at once, of the monolith's rate", 1.2, ratio(*rates), detail)]


def lists(ours: Server, theirs: Server) -> list[Row]:
    """The first hundred of ten thousand files, then all hundreds of them in turn: docsave reads equal lists that wait
    together only once, which the second figure is free of."""
    first = {server.name: [wire.request("GET", LIST, server.token)] for server in (ours, theirs)}
    pages = {server.name: _requests_for_pages(server) for server in (ours, theirs)}
    metric = f"lists of 100 out of 10,000, {LISTS_AT_ONCE} at once, of the monolith's rate"
    return [
        _rates_of_lists(metric, ours, theirs, first),
        _rates_of_lists(f"{metric}, another page each", ours, theirs, pages),
    ]


def _rates_of_lists(metric: str, ours: Server, theirs: Server, requests: dict[str, list[bytes]]) -> Row:
    def rate(server: Server) -> float:
        turns = itertools.cycle(requests[server.name])
        return wire.load(server.port, LISTS_AT_ONCE, SECONDS, lambda: next(turns)).rate

    rates = in_turn(partial(rate, ours), partial(rate, theirs))
    return at_least(metric, 2.5, ratio(*rates), f"{median(rates[0])} : {median(rates[1])} a second")


def _requests_for_pages(server: Server) -> list[bytes]:
    """One for each page of the list."""
    requests = [wire.request("GET", LIST, server.token)]
    while after := json.loads(wire.once(server.port, requests[-1]))["next"]:
        requests.append(wire.request("GET", f"{LIST}&after={after}", server.token))
    return requests


def path_of_new_file(server: Server) -> str:
    """Where the content of a file is that this saves."""
    return f"/files/{json.loads(wire.once(server.port, upload(server)))['id']}/content"
