"""What the console's page may connect to, whatever a client says its host is."""

from types import SimpleNamespace

import pytest

from gateway_http.console import notifier_origins


def _settings(notifier_url: str = "", notifier_port: int = 8001) -> SimpleNamespace:
    return SimpleNamespace(notifier_url=notifier_url, notifier_port=notifier_port)


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.1:8000", "127.0.0.1"), ("files.example.com", "files.example.com"), ("[::1]:80", "[::1]")],
)
def test_the_notifier_is_on_the_host_of_the_page(host, name):
    """Its port, by HTTP and websocket."""
    assert notifier_origins(_settings(), host) == [f"http://{name}:8001", f"ws://{name}:8001"]


@pytest.mark.parametrize("host", ["", "a b", "a; script-src *", "a,b", "*", "a\u00e9", "a/b", "user@a"])
def test_what_is_no_host_adds_nothing(host):
    """Nothing that a client sends gets into the policy but a name and its port."""
    assert notifier_origins(_settings(), host) == []


def test_an_operator_says_where_it_is():
    """Another origin, or the page's own."""
    assert notifier_origins(_settings("https://a.example:8443"), "b") == [
        "https://a.example:8443",
        "wss://a.example:8443",
    ]
    assert notifier_origins(_settings("/"), "b") == []
