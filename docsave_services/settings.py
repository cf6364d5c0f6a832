"""config.yml as typed settings. Values come from the environment; secrets have no default anywhere."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from nameko.exceptions import ConfigurationError
from nameko.extensions import DependencyProvider

from docsave_services.domain.retention import KEEP_EVERYTHING, Policy, RetentionProblem, parse_policy
from docsave_services.domain.secret_key import SECRET_KEY_MIN_BYTES
from docsave_services.tokens import KeyRing

_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?([^?#]*)")
_ENDPOINT = re.compile(r"https?://[^/?#@\s]+/?")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,255}")
_LOCATION = re.compile(r"/(?:[A-Za-z0-9_-]+/)+")


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """A bucket that speaks S3. Without ``endpoint`` it is Amazon's; without ``key_id`` the machine's role is used."""

    url: str
    endpoint: str
    region: str
    key_id: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return cast(re.Match[str], _BUCKET.fullmatch(self.url))[1]

    @property
    def prefix(self) -> str:
        """Where in the bucket, without slashes around it; empty for all of it."""
        return cast(re.Match[str], _BUCKET.fullmatch(self.url))[2].strip("/")

    @classmethod
    def from_text(cls, text: Mapping[str, str]) -> BucketSettings | None:
        """The bucket that the settings name, None for none. ``ConfigurationError`` for what cannot be one."""
        given = [text.get(f"backup_s3_{name}", "") for name in ("url", "endpoint", "region", "key_id", "secret")]
        settings = cls(*given)
        if not settings.url:
            return None
        if not _BUCKET.fullmatch(settings.url):
            raise ConfigurationError("DOCSAVE_BACKUP_S3_URL must be like s3://bucket or s3://bucket/prefix")
        if settings.endpoint and not _ENDPOINT.fullmatch(settings.endpoint):
            raise ConfigurationError("DOCSAVE_BACKUP_S3_ENDPOINT must be like https://host:port")
        if bool(settings.key_id) != bool(settings.secret):
            raise ConfigurationError("set both DOCSAVE_BACKUP_S3_KEY_ID and DOCSAVE_BACKUP_S3_SECRET, or neither")
        return settings


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set. Fields that one service does not need stay unset in its process."""

    host: str
    port: int
    notifier_port: int
    data_dir: Path
    backup_dir: Path
    db_uri: str
    registration: Literal["open", "admin"]
    max_file_bytes: int
    cors_origins: tuple[str, ...]
    body_timeout_seconds: float
    admin_login: str
    admin_password: str = field(repr=False)
    secret_key: str = field(repr=False)
    secret_key_previous: str = field(default="", repr=False)
    trusted_proxies: tuple[str, ...] = ()
    sweep_grace_hours: int = 24
    trash_days: int = 0
    require_if_match: bool = False
    notifier_url: str = ""
    accel_redirect: str = ""
    verify_days: int = 30
    upload_life_seconds: float = 24 * 3600.0
    backup_compact_after: int | None = 30
    retention: Policy = KEEP_EVERYTHING
    webhook_allow_private: bool = False
    backup_mirror_dir: Path | None = None
    backup_bucket: BucketSettings | None = None
    metrics_port: int = 0
    metrics_token: str = field(default="", repr=False)

    @property
    def blob_dir(self) -> Path:
        """Where the blob store keeps content."""
        return self.data_dir / "blobs"

    @property
    def keys(self) -> KeyRing:
        """The keys that sign and verify access tokens."""
        return KeyRing(self.secret_key, self.secret_key_previous)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Read the ``DOCSAVE`` section of Nameko's configuration.

        Raises ``ConfigurationError`` with the variable's name for a value that cannot be used.
        """
        section = config.get("DOCSAVE")
        if not isinstance(section, Mapping):
            raise ConfigurationError("config.yml has no DOCSAVE section")
        text = {key: "" if value is None else str(value) for key, value in section.items()}
        data_dir = Path(_required(text, "data_dir"))
        return cls(
            host=_required(text, "host"),
            port=_integer(text, "port", 0, 65535),
            notifier_port=_integer(text, "notifier_port", 0, 65535),
            data_dir=data_dir,
            backup_dir=Path(_required(text, "backup_dir")),
            db_uri=text.get("db_uri") or f"sqlite:///{data_dir}/docsave.sqlite3",
            registration=_registration(text),
            max_file_bytes=_integer(text, "max_file_bytes", 1, 2**62),
            cors_origins=tuple(o.strip() for o in _required(text, "cors_origins").split(",") if o.strip()),
            body_timeout_seconds=float(_integer(text, "body_timeout_seconds", 1, 3600)),
            admin_login=text.get("admin_login", ""),
            admin_password=text.get("admin_password", ""),
            secret_key=_secret_key(text, "secret_key"),
            secret_key_previous=_secret_key(text, "secret_key_previous"),
            trusted_proxies=_networks(text, "trusted_proxies"),
            sweep_grace_hours=_integer(text, "sweep_grace_hours", 1, 10 * 365 * 24),
            trash_days=_integer(text, "trash_days", 0, 100 * 365),
            require_if_match=_switch(text, "require_if_match"),
            notifier_url=_origin(text, "notifier_url"),
            accel_redirect=_location(text, "accel_redirect"),
            verify_days=_integer(text, "verify_days", 0, 3650),
            backup_compact_after=_days_or_never(text, "backup_compact_after"),
            retention=_retention(text, "retention"),
            upload_life_seconds=float(_integer(text, "upload_life_seconds", 1, 365 * 24 * 3600)),
            webhook_allow_private=_switch(text, "webhook_allow_private"),
            backup_mirror_dir=_mirror(text),
            backup_bucket=BucketSettings.from_text(text),
            metrics_port=_integer(text, "metrics_port", 0, 65535),
            metrics_token=_token(text, "metrics_token"),
        )

    def require(self, *names: str) -> None:
        """Stop a service at its start when a setting that it needs is missing."""
        for name in names:
            if not getattr(self, name):
                raise ConfigurationError(f"DOCSAVE_{name.upper()} is not set")


def _required(text: Mapping[str, str], key: str) -> str:
    value = text.get(key, "")
    if not value:
        raise ConfigurationError(f"DOCSAVE_{key.upper()} is not set")
    return value


def _integer(text: Mapping[str, str], key: str, least: int, most: int) -> int:
    value = _required(text, key)
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise ConfigurationError(f"DOCSAVE_{key.upper()} must be a whole number from {least} to {most}")
    return int(value)


def _days_or_never(text: Mapping[str, str], key: str) -> int | None:
    if text.get(key) == "never":
        return None
    try:
        return _integer(text, key, 0, 100 * 365)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{exc}, or never") from exc


def _mirror(text: Mapping[str, str]) -> Path | None:
    if not text.get("backup_mirror_dir"):
        return None
    mirror, first = Path(text["backup_mirror_dir"]), Path(_required(text, "backup_dir"))
    one, other = mirror.resolve(), first.resolve()
    if one == other or one.is_relative_to(other) or other.is_relative_to(one):
        raise ConfigurationError("DOCSAVE_BACKUP_MIRROR_DIR must be another directory than DOCSAVE_BACKUP_DIR")
    return mirror


def _retention(text: Mapping[str, str], key: str) -> Policy:
    try:
        return parse_policy(text.get(key, ""))
    except RetentionProblem as exc:
        raise ConfigurationError(f"DOCSAVE_{key.upper()}: {exc}") from exc


def _registration(text: Mapping[str, str]) -> Literal["open", "admin"]:
    value = _required(text, "registration")
    if value not in ("open", "admin"):
        raise ConfigurationError("DOCSAVE_REGISTRATION must be open or admin")
    return cast(Literal["open", "admin"], value)


def _switch(text: Mapping[str, str], key: str) -> bool:
    value = text.get(key, "") or "0"
    if value not in ("0", "1"):
        raise ConfigurationError(f"DOCSAVE_{key.upper()} must be 0 or 1")
    return value == "1"


def _secret_key(text: Mapping[str, str], name: str) -> str:
    key = text.get(name, "")
    if key and len(key.encode()) < SECRET_KEY_MIN_BYTES:
        raise ConfigurationError(f"DOCSAVE_{name.upper()} is shorter than {SECRET_KEY_MIN_BYTES} bytes")
    return key


def _token(text: Mapping[str, str], name: str) -> str:
    token = text.get(name, "")
    if token and not _TOKEN.fullmatch(token):
        raise ConfigurationError(f"DOCSAVE_{name.upper()} must be 16 to 255 letters, digits and -._~+/=")
    return token


def _networks(text: Mapping[str, str], name: str) -> tuple[str, ...]:
    networks = tuple(part.strip() for part in text.get(name, "").split(",") if part.strip())
    try:
        return tuple(str(ipaddress.ip_network(network)) for network in networks)
    except ValueError as exc:
        raise ConfigurationError(f"DOCSAVE_{name.upper()} must be addresses or networks: {exc}") from exc


def _origin(text: Mapping[str, str], name: str) -> str:
    value = text.get(name, "")
    if value not in ("", "/") and not _ORIGIN.fullmatch(value):
        raise ConfigurationError(f"DOCSAVE_{name.upper()} must be / or an origin, like https://files.example.com:8001")
    return value


def _location(text: Mapping[str, str], name: str) -> str:
    value = text.get(name, "")
    if value and not _LOCATION.fullmatch(value):
        raise ConfigurationError(f"DOCSAVE_{name.upper()} must begin and end with a slash, like /_blobs/")
    return value


class SettingsProvider(DependencyProvider):
    """Injects ``Settings``; the container does not start when one of ``required`` is missing."""

    def __init__(self, *required: str) -> None:
        self.required = required

    def setup(self) -> None:
        self.settings = Settings.from_config(self.container.config)
        self.settings.require(*self.required)

    def get_dependency(self, worker_ctx: Any) -> Settings:
        return self.settings
