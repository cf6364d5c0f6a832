"""The limits of webhooks, with their units."""

from __future__ import annotations

WEBHOOKS_MAX = 20
"""Endpoints of one account: with a place for each in ``HEALTHY_AT_ONCE`` none can keep all others waiting."""

PAGE_MAX = 1000
"""Most items of a page."""

REQUESTS_MAX = 100
"""Tests and repetitions of one endpoint that wait to be made."""

OLD_SECRET_SECONDS = 24 * 3600.0
"""An old secret signs for so long beside the new one."""

RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
"""From looking up the name to the end of the answer."""

ADDRESSES_MAX = 3
"""Addresses of one name that are tried in turn."""

ANSWER_BYTES_MAX = 64 * 1024
"""What is read of an answer; then the connection is closed."""

CONNECTION_SECONDS = 30.0
"""A connection is used again for so long; then the name is looked up anew."""

HEALTHY_AT_ONCE = 64
"""Deliveries at once to endpoints whose last one went well, and quickly."""

TROUBLED_AT_ONCE = 16
"""Deliveries at once to the others, so that those never take the places of the healthy."""

SLOW_SECONDS = 2.0
"""A delivery that takes longer makes its endpoint one of the troubled."""

UNRECORDED_MAX = 50
"""Deliveries of an endpoint that may be repeated after a crash: they are answered but not yet written down."""

EVENTS_PAGE = 200
"""Events read at once for an endpoint that is behind."""

RECENT_EVENTS_MAX = 2000
"""The newest events, kept for all endpoints that are nearly up to date."""

LEASE_SECONDS = 10.0
"""An endpoint belongs to the process that took it for so long; another takes over after a crash."""

RENEW_SECONDS = 6.0
"""A lease with less left than this is prolonged."""

LOOK_SECONDS = 2.5
"""How often a process looks for endpoints to take, and for what was changed or revoked without a word on the bus."""

PLACES_SECONDS = 5.0
"""How often the place of endpoints that have nothing to deliver is written down."""

PRUNE_SECONDS = 60.0
DELIVERIES_KEPT = 1000
"""Of each endpoint, and no older than ``DELIVERIES_DAYS``."""

DELIVERIES_DAYS = 30

STOP_SECONDS = 2.0
"""What a stop leaves to deliveries under way; they are made again later."""
