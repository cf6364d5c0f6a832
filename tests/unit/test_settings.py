"""config.yml: every value from the environment, clear words about a wrong one."""

from pathlib import Path

import pytest
from nameko.exceptions import ConfigurationError

from docsave_services.settings import Settings
from tests.support.configuration import load_config


def test_the_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """What README says holds without any variable set, and there is no secret in it."""
    settings = Settings.from_config(load_config(monkeypatch))
    assert (settings.host, settings.port, settings.notifier_port) == ("127.0.0.1", 8000, 8001)
    assert settings.data_dir == Path("data")
    assert settings.backup_dir == Path("backups")
    assert settings.db_uri == "sqlite:///data/docsave.sqlite3"
    assert settings.max_file_bytes == 5 * 1024**3
    assert (settings.secret_key, settings.admin_password) == ("", "")
    assert (settings.sweep_grace_hours, settings.trash_days) == (24, 0)
    assert settings.backup_compact_after == 30


def test_compaction_may_be_at_once_or_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of days, 0 among them, or the word."""
    for value, days in [("0", 0), ("365", 365), ("never", None)]:
        config = load_config(monkeypatch, BACKUP_COMPACT_AFTER=value)
        assert Settings.from_config(config).backup_compact_after == days


def test_values_are_taken_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password of digits stays the password, and no part of a URI is read as YAML."""
    config = load_config(monkeypatch, ADMIN_PASSWORD="0012345678", AMQP_URI="amqp://a:0x1f@h:5672/: #x")
    assert Settings.from_config(config).admin_password == "0012345678"
    assert config["AMQP_URI"] == "amqp://a:0x1f@h:5672/: #x"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DOCSAVE_PORT", "eighty"), ("DOCSAVE_PORT", "65536"), ("DOCSAVE_MAX_FILE_BYTES", "0"),
        ("DOCSAVE_REGISTRATION", "maybe"), ("DOCSAVE_SECRET_KEY", "short"),
        ("DOCSAVE_SECRET_KEY_PREVIOUS", "short"), ("DOCSAVE_TRUSTED_PROXIES", "10.0.0.1, proxy"),
        ("DOCSAVE_TRUSTED_PROXIES", "10.0.0.1/8"), ("DOCSAVE_ACCEL_REDIRECT", "/_blobs"),
        ("DOCSAVE_NOTIFIER_URL", "files.example.com"), ("DOCSAVE_NOTIFIER_URL", "http://a/; script-src *"),
        ("DOCSAVE_ACCEL_REDIRECT", "http://other/"), ("DOCSAVE_ACCEL_REDIRECT", "/../"),
        ("DOCSAVE_REQUIRE_IF_MATCH", "yes"), ("DOCSAVE_SWEEP_GRACE_HOURS", "0"), ("DOCSAVE_TRASH_DAYS", "-1"),
        ("DOCSAVE_BACKUP_COMPACT_AFTER", "-1"), ("DOCSAVE_BACKUP_COMPACT_AFTER", "sometimes"),
        ("DOCSAVE_BACKUP_MIRROR_DIR", "./backups"), ("DOCSAVE_BACKUP_MIRROR_DIR", "backups/more"),
        ("DOCSAVE_BACKUP_S3_URL", "bucket"), ("DOCSAVE_BACKUP_S3_URL", "s3://Bucket/x"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The message names the variable, and never a secret's value."""
    with pytest.raises(ConfigurationError, match=variable) as caught:
        Settings.from_config(load_config(monkeypatch, **{variable.removeprefix("DOCSAVE_"): value}))
    assert "short" not in str(caught.value).replace("shorter", "")


def test_a_bucket_is_named_with_its_place_and_keeps_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix may be missing; half a key, or an address with a password in it, is refused without telling it."""
    bucket = {"BACKUP_S3_URL": "s3://my-bucket/a/b/", "BACKUP_S3_KEY_ID": "id"}
    complete = {**bucket, "BACKUP_S3_SECRET": "hunter22"}
    found = Settings.from_config(load_config(monkeypatch, **complete)).backup_bucket
    assert found
    assert (found.bucket, found.prefix, found.region, found.endpoint) == ("my-bucket", "a/b", "us-east-1", "")
    assert "hunter22" not in repr(found)
    with pytest.raises(ConfigurationError, match="DOCSAVE_BACKUP_S3_ENDPOINT") as caught:
        Settings.from_config(load_config(monkeypatch, **complete, BACKUP_S3_ENDPOINT="https://a:hunter22@host"))
    assert "hunter22" not in str(caught.value)
    monkeypatch.delenv("DOCSAVE_BACKUP_S3_SECRET")
    monkeypatch.delenv("DOCSAVE_BACKUP_S3_ENDPOINT")
    with pytest.raises(ConfigurationError, match="DOCSAVE_BACKUP_S3_SECRET"):
        Settings.from_config(load_config(monkeypatch, **bucket))


def test_proxies_are_addresses_or_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """None by default; IPv4 and IPv6, single or by network."""
    assert Settings.from_config(load_config(monkeypatch)).trusted_proxies == ()
    config = load_config(monkeypatch, TRUSTED_PROXIES="10.0.0.1, 172.16.0.0/12,::1 ,")
    assert Settings.from_config(config).trusted_proxies == ("10.0.0.1/32", "172.16.0.0/12", "::1/128")


def test_the_key_before_is_part_of_the_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The current one signs, both verify."""
    config = load_config(monkeypatch, SECRET_KEY="n" * 32, SECRET_KEY_PREVIOUS="o" * 32)
    ring = Settings.from_config(config).keys
    assert (ring.current, ring.keys) == ("n" * 32, ("n" * 32, "o" * 32))


def test_a_missing_secret_stops_a_service_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no default key to forget."""
    with pytest.raises(ConfigurationError, match="DOCSAVE_SECRET_KEY"):
        Settings.from_config(load_config(monkeypatch)).require("secret_key")


def test_secrets_do_not_show_in_the_settings_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log line with the settings in it gives nothing away."""
    shown = repr(
        Settings.from_config(
            load_config(
                monkeypatch,
                SECRET_KEY="s3cret" * 8,
                ADMIN_PASSWORD="hunter22",
                SECRET_KEY_PREVIOUS="s3cret" * 9,
            )
        )
    )
    assert "s3cret" not in shown
    assert "hunter22" not in shown
