"""The list of bad input as one table, against the real services: each input gets its answer, which shows nothing of the
inside, and leaves everything as it was.

The rows are in ``tests/integration/bad_input``, named as the list names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.bad_input import body_rows, call_rows, edge_rows, identity_rows, name_rows, socket_rows
from tests.integration.bad_input.place import Place, place_on
from tests.integration.bad_input.row import Answer, Input
from tests.support.rabbitmq import Broker

MODULES = (edge_rows, body_rows, name_rows, identity_rows, socket_rows, call_rows)
ROWS = [row for module in MODULES for row in module.ROWS]
TABLE = [pytest.param(tried, id=f"{row.entry}: {tried.label}") for row in ROWS for tried in row.inputs]

INSIDE = re.compile(
    r"Traceback|\bFile \"|\.py\b|/tmp/|/home/|/data/|sqlalchemy|sqlite|pymysql|nameko|eventlet|werkzeug"
    r"|\bSELECT\b|\bINSERT\b|\bUPDATE\b|\b[A-Z]\w+(Error|Exception)\b",
)
"""What no answer may have."""


@pytest.fixture(scope="module")
def place(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_on(broker.amqp_uri, tmp_path_factory.mktemp("bad_input")) as place:
        yield place
        assert {name for name, text in place.logs().items() if "Traceback" in text} == set()


@pytest.mark.parametrize("tried", TABLE)
def test_bad_input(place: Place, tried: Input) -> None:
    """Answered as the list says; nothing is stored or changed, no process ends."""
    before = place.known
    answer = tried.act(place)
    if answer is not None:
        _is_the_answer(answer, tried)
    place.known = place.everything()
    if not tried.keeps:
        assert place.known == before
    assert [name for name, program in place.programs.items() if not program.running] == []


def _is_the_answer(answer: Answer, tried: Input) -> None:
    problem = answer.problem
    assert (answer.status, problem["code"]) == (tried.status, tried.code), problem
    assert not INSIDE.search(answer.body.decode()), answer
    errors = problem.get("errors", [])
    if tried.field:
        assert tried.field in {error["field"] for error in errors}
    said = " ".join([problem["detail"], *[error["message"] for error in errors]])
    assert tried.says in said
    if tried.closes:
        assert answer.headers["connection"] == "close"


def test_the_table_has_every_entry() -> None:
    """Rows that were lost by a mistake in the code that makes them would never fail."""
    assert [row.entry for row in ROWS if not row.inputs] == []
    assert len({parameter.id for parameter in TABLE}) == len(TABLE)
    assert len(TABLE) > 500
