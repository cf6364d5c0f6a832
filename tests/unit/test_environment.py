"""Settings resolved from the environment: secrets made once, read from files, kept private, refused when weak."""

from __future__ import annotations

import shlex
import stat
import subprocess

import pytest

from docsave_services.runtime import environment as env
from docsave_services.runtime.environment import EnvironmentProblem

KEY = "k" * 32


def _mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_kept(tmp_path):
    """The first start makes the key and the password, mode 0600 in a directory 0700; later ones read the same."""
    resolved = env.resolve({env.DATA_DIR: str(tmp_path / "data")})
    first = env.add_secrets(resolved)
    assert len(first[env.SECRET_KEY].encode()) >= 32
    assert len(first[env.ADMIN_PASSWORD]) >= 24
    directory = tmp_path / "data" / "secrets"
    assert _mode(directory) == 0o700
    assert {path.name: _mode(path) for path in directory.iterdir()} == {"secret_key": 0o600, "admin_password": 0o600}
    assert env.add_secrets(resolved) == first


def test_two_systems_have_different_secrets(tmp_path):
    """Nothing about a generated secret is a constant."""
    made = [env.add_secrets(env.resolve({env.DATA_DIR: str(tmp_path / name)})) for name in "ab"]
    assert made[0][env.SECRET_KEY] != made[1][env.SECRET_KEY]
    assert made[0][env.ADMIN_PASSWORD] != made[1][env.ADMIN_PASSWORD]


def test_key_is_replaced_by_renaming_its_file(tmp_path):
    """The next start makes a new key and keeps the old one for the tokens that are out; later the old one is gone."""
    resolved = env.resolve({env.DATA_DIR: str(tmp_path)})
    old = env.add_secrets(resolved)
    assert not old.get(env.SECRET_KEY_PREVIOUS)
    directory = tmp_path / "secrets"
    (directory / "secret_key").rename(directory / "secret_key_previous")
    new = env.add_secrets(resolved)
    assert new[env.SECRET_KEY_PREVIOUS] == old[env.SECRET_KEY] != new[env.SECRET_KEY]
    (directory / "secret_key_previous").unlink()
    later = env.add_secrets(resolved)
    assert later[env.SECRET_KEY] == new[env.SECRET_KEY]
    assert not later.get(env.SECRET_KEY_PREVIOUS)


def test_empty_file_of_the_previous_key_is_none():
    """A container has the file mounted at all times."""
    assert env.resolve({"DOCSAVE_SECRET_KEY_PREVIOUS_FILE": "/dev/null"})[env.SECRET_KEY_PREVIOUS] == ""


def test_given_secrets_are_used_and_not_stored(tmp_path):
    """A key and a password from the operator are not written into the data directory."""
    given = {env.DATA_DIR: str(tmp_path), env.SECRET_KEY: KEY, env.ADMIN_PASSWORD: "a good password"}
    complete = env.add_secrets(env.resolve(given))
    assert complete[env.SECRET_KEY] == KEY
    assert list((tmp_path / "secrets").iterdir()) == []


def test_world_readable_secrets_directory_is_closed_again(tmp_path):
    """A directory that somebody opened is private again after the next start."""
    (tmp_path / "secrets").mkdir(mode=0o755)
    env.add_secrets(env.resolve({env.DATA_DIR: str(tmp_path)}))
    assert _mode(tmp_path / "secrets") == 0o700


@pytest.mark.parametrize("variable", env.FROM_FILES)
def test_secret_is_read_from_its_file(tmp_path, variable):
    """``<variable>_FILE`` names a file with the value; its last line end is not part of it."""
    path = tmp_path / "secret"
    path.write_text(KEY + "\n")
    resolved = env.resolve({f"{variable}_FILE": str(path)})
    assert resolved[variable] == KEY
    assert f"{variable}_FILE" not in resolved


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DOCSAVE_SECRET_KEY": "k" * 31}, "DOCSAVE_SECRET_KEY is shorter than 32 bytes"),
        ({"DOCSAVE_SECRET_KEY_PREVIOUS": "k" * 31}, "DOCSAVE_SECRET_KEY_PREVIOUS is shorter than 32 bytes"),
        ({"DOCSAVE_SECRET_KEY_FILE": "/nowhere/key"}, "DOCSAVE_SECRET_KEY: cannot read /nowhere/key: No such file"),
        ({"DOCSAVE_SECRET_KEY_FILE": "/dev/null"}, "DOCSAVE_SECRET_KEY: /dev/null is empty"),
        ({"DOCSAVE_DB_URI": "x", "DOCSAVE_DB_URI_FILE": "y"}, "set either DOCSAVE_DB_URI or DOCSAVE_DB_URI_FILE"),
    ],
)
def test_unusable_secret_is_refused_in_one_line(environ, said):
    """The line names the variable and never its value."""
    with pytest.raises(EnvironmentProblem) as caught:
        env.resolve(environ)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert "kkk" not in str(caught.value)


def test_length_of_the_key_is_counted_in_bytes():
    """32 bytes are enough however many characters they are."""
    assert env.resolve({env.SECRET_KEY: "ü" * 16})[env.SECRET_KEY]


def test_directories_are_absolute_and_empty_means_default():
    """A process may start anywhere: relative directories are relative to the project, an empty value is none."""
    resolved = env.resolve({env.DATA_DIR: "", env.BACKUP_DIR: "elsewhere", env.PORT: ""})
    assert resolved[env.DATA_DIR] == str(env.ROOT / "data")
    assert resolved[env.BACKUP_DIR] == str(env.ROOT / "elsewhere")
    assert resolved[env.PORT] == "8000"


def test_shell_file_gives_back_the_exact_values(tmp_path):
    """A shell that sources ``<data>/env`` gets every setting as it is, quotes and dollars included."""
    awkward = 'it\'s $HOME `id` "x" \\ ; end' + KEY
    resolved = env.resolve({env.DATA_DIR: str(tmp_path), env.SECRET_KEY: awkward, "PATH": "/bin"})
    path = env.write_shell_file(resolved)
    assert _mode(path) == 0o600
    command = f'. {shlex.quote(str(path))} && printf %s "$DOCSAVE_SECRET_KEY"'
    done = subprocess.run(["sh", "-c", command], env={}, capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == awkward
    assert "PATH" not in path.read_text()


def test_shell_file_has_no_administrator_password(tmp_path):
    """The shell needs no account, so the file holds none."""
    complete = env.add_secrets(env.resolve({env.DATA_DIR: str(tmp_path)}))
    assert complete[env.ADMIN_PASSWORD] not in env.write_shell_file(complete).read_text()
