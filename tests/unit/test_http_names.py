"""File names in headers."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from docsave_services.domain.names import name_problem
from docsave_services.errors import BadRequest
from gateway_http.content_disposition import attachment, file_name_in, parameters_of

ODD_NAMES = [
    "report.pdf",
    'a"; filename=evil.exe',
    "a%22b.txt",
    "100 %.txt",
    "naïve résumé 😀.txt",
    "e\u0301.txt",
    "<script>.html",
    "$(id);rm -rf",
    "'single'.txt",
    "é" * 255,
    "a;b=c.txt",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_survives_the_download_header(name: str) -> None:
    """The header is ASCII, has no quote that a client could trip over, and gives back the exact name."""
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert parse_options_header(header)[1]["filename"] == name
    assert file_name_in(parameters_of(header)[1]) == name


LEGAL_NAMES = st.text(min_size=1, max_size=255).filter(lambda name: name_problem(name) is None)


@given(name=LEGAL_NAMES | st.text(alphabet="\";%'*= .a\u0301é😀", min_size=1, max_size=30))
def test_every_legal_name_survives_the_download_header(name: str) -> None:
    """Exact for our reader and for werkzeug's; nothing in it ends the header or adds a parameter."""
    assume(name_problem(name) is None)
    header = attachment(name)
    assert re.fullmatch(r"[\x20-\x7e]+", header)
    disposition, parameters = parameters_of(header)
    assert (disposition, file_name_in(parameters)) == ("attachment", name)
    assert set(parameters) <= {"filename", "filename*"}
    assert parse_options_header(header)[1] == {"filename": name}
    plain = parameters["filename"]
    assert re.fullmatch(r"[A-Za-z0-9 ._()+,@-]+", plain)
    assert len(plain) == len(name)


@given(header=st.text() | st.text(alphabet="form-data;= \"\\*%'\r\nfilename", max_size=60))
def test_no_header_breaks_the_reader(header: str) -> None:
    """It is read, or a bad request."""
    try:
        parameters_of(header)
    except BadRequest:
        return


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('form-data; name="file"; filename="a.txt"', "a.txt"),
        ("form-data; name=file; filename=a.txt", "a.txt"),
        ('form-data; filename="a.txt"; name="file"', "a.txt"),
        ('form-data; name="file"; filename="a;b=c.txt"', "a;b=c.txt"),
        ('form-data; name="file"; filename="é😀.txt"', "é😀.txt"),
        ('form-data; name="file"; filename="say %22hi%22.txt"', 'say "hi".txt'),
        (r'form-data; name="file"; filename="say \"hi\".txt"', 'say "hi".txt'),
        (r'form-data; name="file"; filename="C:\dir\a.txt"', r"C:\dir\a.txt"),
        (r'form-data; name="file"; filename="\\host\a.txt"', r"\host\a.txt"),
        ('form-data; name="file"; filename="../a.txt"', "../a.txt"),
        ('form-data; name="file"; filename="a%0D%0Ab"', "a\r\nb"),
        ("form-data; name=\"file\"; filename*=UTF-8''%e2%82%ac%20rates", "€ rates"),
        ('form-data; name="file"; filename="x"; filename*=utf-8\'en\'%C3%A9', "é"),
        ("form-data; name=\"file\"; filename*=iso-8859-1''%E9", "é"),
        ('form-data; name="file"; filename=""', ""),
        ('form-data; name="file"', None),
        ('form-data ; name="file" ; filename = "a" ;', "a"),
    ],
)
def test_names_are_read_as_clients_write_them(header: str, name: str | None) -> None:
    """Browsers, curl and RFC 8187 are all understood, and a path is left as it is."""
    assert file_name_in(parameters_of(header)[1]) == name


@pytest.mark.parametrize(
    "header",
    [
        'form-data; filename="a"; filename="b"',
        'form-data; filename="a"; FileName="b"',
        'form-data; filename="a',
        'form-data; filename="a"x"',
        "form-data; filename",
        "form-data; filename=a b",
        "form-data; filename*=UTF-8''%ff",
        "form-data; filename*=utf-16''a",
        "form-data; filename*=UTF-8''%zz",
        "form-data; filename*=a",
    ],
)
def test_what_cannot_be_read_is_refused(header: str) -> None:
    """A header with two meanings or none is a bad request."""
    with pytest.raises(BadRequest):
        parameters_of(header)
