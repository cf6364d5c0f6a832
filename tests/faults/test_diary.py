"""The client with the diary, without a system."""

from __future__ import annotations

from types import SimpleNamespace

import requests

from tests.faults.diary import Diary, Outcome, Request, new_person


def test_an_account_that_was_made_without_an_answer_is_used(monkeypatch):
    """A busy machine answers 503 to what it does in the end; asked again it says that the login is taken."""
    answers = iter([503, 409, 503, 200])

    def post(url, **_):
        answer = requests.Response()
        answer.status_code = next(answers)
        answer._content = b'{"access_token": "abc"}'
        return answer

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "get", lambda *_, **__: SimpleNamespace(json=lambda: {"id": 7}))
    monkeypatch.setattr("tests.support.waiting.time.sleep", lambda _: None)
    person = new_person("http://nowhere", Diary())
    assert (person.id, person.token) == (7, "abc")


def test_what_never_left_is_not_counted():
    """A closed door that is knocked at a hundred times says nothing about requests."""
    diary = Diary()
    diary.requests = [
        Request("upload", 1, ended=1.0, problem="NewConnectionError(...)"),
        Request("upload", 1, ended=1.0, problem="RemoteDisconnected"),
    ]
    assert diary.count(Outcome.UNKNOWN) == 1
