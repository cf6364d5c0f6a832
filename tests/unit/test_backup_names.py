"""Names in the backup directory."""

from __future__ import annotations

import pytest

from backup.names import content_name, safe_name, version_of_json

AT = "2026-11-24T10:15:00Z"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Überblick für Zoë.docx", "Überblick für Zoë.docx"),
        ("CON", "CON_"),
        ("con.txt", "con_.txt"),
        ("NUL .txt", "NUL_ .txt"),
        ("COM1.tar.gz", "COM1_.tar.gz"),
        ("lpt¹", "lpt¹_"),
        ("CONTRACT.md", "CONTRACT.md"),
        ("-rf", "_rf"),
        (".htaccess", "_htaccess"),
        ("..hidden", "__hidden"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("../../etc/passwd", "___.._etc_passwd"),
        ("a\\b", "a_b"),
        ("a\x00b\nc\x7fd\x85e", "a_b_c_d_e"),
        ("cod\u202egpj.exe", "cod_gpj.exe"),
        ("\ud800lone", "_lone"),
        ("trailing. . ", "trailing____"),
        ("...", "___"),
        ("", "_"),
        ("$(id)`x`;&.sh", "$(id)`x`;&.sh"),
        ("🦉.txt", "🦉.txt"),
    ],
)
def test_a_name_is_made_safe_for_every_file_system(name: str, safe: str) -> None:
    """What Windows, macOS or a shell would trip over becomes an underscore, and nothing else changes."""
    assert safe_name(name, 200) == safe


@pytest.mark.parametrize(
    "name",
    ["é" * 255, "🦉" * 255, "x" * 255, "é" * 250 + ".docx", "a." + "b" * 253, "." * 255, "é" * 255 + "." * 200],
)
def test_an_entry_name_fits_into_255_bytes_with_room_for_compaction(name: str) -> None:
    """However long the name, the entry's name and its later ``.zst`` fit, cut between two characters."""
    entry = content_name(1, AT, name)
    assert len((entry + ".zst").encode()) <= 255
    assert entry.startswith("v000001_20261124T101500Z_")
    assert not entry.endswith((".", " "))
    assert "\ufffd" not in entry


def test_a_cut_name_keeps_its_extension() -> None:
    """A person still sees what kind of file it is."""
    assert content_name(1, AT, "é" * 250 + ".docx").endswith("é.docx")


@pytest.mark.parametrize("at", ["2026-11-24T10:15:00Z", "2026-11-24T10:15:00.987654Z", "2026-11-24T11:15:00+01:00"])
def test_the_time_in_a_name_is_utc_in_seconds(at: str) -> None:
    """Whatever precision or offset the journal uses."""
    assert content_name(12, at, "a") == "v000012_20261124T101500Z_a"


@pytest.mark.parametrize(
    ("name", "version"),
    [("v000001.json", 1), ("v1000000.json", 1000000), ("v1.json", None), ("v0000001.json", None), ("x.json", None)],
)
def test_only_the_canonical_name_of_an_event_is_recognised(name: str, version: int | None) -> None:
    """Two names for one version would be two versions."""
    assert version_of_json(name) == version
