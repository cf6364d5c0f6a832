"""The API document for longer: thousands of random requests and sequences of them."""
# ruff: noqa: F401, F811 - the gateway is that of the shorter test

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.served_gateway import ServedGateway
from tests.integration.test_gateway_openapi import gateway, schemathesis

pytestmark = pytest.mark.process


def test_the_document_is_true_of_many_requests(gateway: ServedGateway, tmp_path: Path) -> None:
    """As in the shorter test; what it said is printed."""
    print(schemathesis(gateway, tmp_path, "--max-examples", "60"))
