"""How messages are spelled: plain JSON, quickly.

Kombu's JSON turns an object of ``__type__`` and ``__value__`` into something else, or fails on it: nothing here wants
that, and no message may choose it. On the wire both are JSON, so any Nameko program can call.
"""

from __future__ import annotations

import kombu.serialization

from docsave_services import quick_json

kombu.serialization.register("json", quick_json.dumps, quick_json.loads, "application/json", "utf-8")
