"""Where keys go, and where they are never given."""

from __future__ import annotations

import base64
import os
import stat
import types
from typing import TYPE_CHECKING, Any

import keyring
import keyring.backend
import keyring.core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from askel_tui.core.fingerprints import fingerprint
from askel_tui.store.errors import InvalidKey, KeyringFailed, NoSafeKeyring, VaultLocked
from askel_tui.store.secrets.key_store import check_key, open_key_store
from tests.support.processes import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "pk_0123456789abcdef0123456789abcdef01"

MASTERS = ("ASKEL_VAULT_KEY", "ASKEL_VAULT_KEY_FILE", "CREDENTIALS_DIRECTORY", "PYTHON_KEYRING_BACKEND")

TRY = """
    import sys
    from pathlib import Path
    from askel_tui.store.errors import NoSafeKeyring
    from askel_tui.store.secrets.key_store import open_key_store
    try:
        open_key_store(Path(sys.argv[1])).set("maple", sys.argv[2])
    except NoSafeKeyring as error:
        print(error)
"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MASTERS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[KeyringBackend]]:
    """The backends that keyring finds on this machine; a test fills the list."""
    found: list[KeyringBackend] = []
    registered = set(KeyringBackend._classes)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: found)
    yield found
    KeyringBackend._classes.intersection_update(registered)


def fake(name: str, *, rank: float = 5, problem: Exception | None = None) -> KeyringBackend:
    """A backend that keyring knows under a full class name."""
    kept: dict[tuple[str, str], str] = {}
    module, _, cls = name.rpartition(".")

    def need() -> None:
        if problem is not None:
            raise problem

    def get_password(self: Any, service: str, username: str) -> str | None:
        need()
        return kept.get((service, username))

    def set_password(self: Any, service: str, username: str, password: str) -> None:
        need()
        kept[service, username] = password

    def delete_password(self: Any, service: str, username: str) -> None:
        if kept.pop((service, username), None) is None:
            raise PasswordDeleteError("no such password")

    body = {
        "__module__": module,
        "priority": rank,
        "get_password": get_password,
        "set_password": set_password,
        "delete_password": delete_password,
        "kept": kept,
    }
    made = types.new_class(cls, (KeyringBackend,), exec_body=lambda space: space.update(body))
    backend = made()
    assert isinstance(backend, KeyringBackend)
    return backend


def chain() -> KeyringBackend:
    """keyring's own chain over all that it finds."""
    backend: KeyringBackend = ChainerBackend()  # type: ignore[no-untyped-call]
    return backend


SAFE = (
    "keyring.backends.SecretService.Keyring",
    "keyring.backends.kwallet.DBusKeyring",
    "keyring.backends.macOS.Keyring",
    "keyring.backends.Windows.WinVaultKeyring",
)
UNSAFE = (
    "keyrings.alt.file.PlaintextKeyring",
    "keyrings.alt.file.EncryptedKeyring",
    "keyrings.cryptfile.cryptfile.CryptFileKeyring",
    "keyring.backends.null.Keyring",
    "somebody.PlaintextKeyring",
    "somebody.Keyring",
)


@pytest.mark.parametrize("name", SAFE)
def test_a_keyring_that_encrypts_is_used(name: str, backends: list[KeyringBackend], tmp_path: Path) -> None:
    backends.append(fake(name))
    kept = open_key_store(tmp_path)
    assert kept.backend_name == name
    assert kept.get("maple") is None
    kept.set("maple", f"  {KEY}\n")
    assert open_key_store(tmp_path).get("maple") == KEY
    kept.delete("maple")
    kept.delete("maple")
    assert kept.get("maple") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", UNSAFE)
def test_a_keyring_that_may_not_encrypt_is_refused(
    name: str, backends: list[KeyringBackend], tmp_path: Path
) -> None:
    backends.append(fake(name))
    with pytest.raises(NoSafeKeyring) as caught:
        open_key_store(tmp_path)
    assert name in str(caught.value)
    assert "ASKEL_VAULT_KEY " in str(caught.value)
    assert "ASKEL_VAULT_KEY_FILE " in str(caught.value)


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_a_chain_is_as_safe_as_its_weakest_member(
    unsafe: str, backends: list[KeyringBackend], tmp_path: Path
) -> None:
    backends += [chain(), fake(SAFE[0]), fake(SAFE[1])]
    assert isinstance(keyring.get_keyring(), ChainerBackend)
    open_key_store(tmp_path).set("maple", KEY)
    assert open_key_store(tmp_path).get("maple") == KEY
    backends.append(fake(unsafe, rank=0.5))
    with pytest.raises(NoSafeKeyring, match=unsafe):
        open_key_store(tmp_path)


def test_two_homes_do_not_share_keys(backends: list[KeyringBackend], tmp_path: Path) -> None:
    backends.append(fake(SAFE[0]))
    open_key_store(tmp_path / "one").set("maple", KEY)
    assert open_key_store(tmp_path / "two").get("maple") is None


def test_a_keyring_that_fails_is_one_sentence_without_the_key(
    backends: list[KeyringBackend], tmp_path: Path
) -> None:
    backends.append(fake(SAFE[0], problem=KeyringLocked(f"locked, can't keep {KEY}")))
    kept = open_key_store(tmp_path)
    with pytest.raises(KeyringFailed, match=r"could not store the key: locked.*ASKEL_VAULT_KEY") as caught:
        kept.set("maple", KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(KeyringFailed, match="could not read the key"):
        kept.get("maple")


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    left_out = {*MASTERS, "DBUS_SESSION_BUS_ADDRESS"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    directories = {name: str(tmp_path / "user") for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return kept | directories | more


def installed_plaintext(site: Path) -> None:
    """What `pip install keyrings.alt` leaves: a backend that is found by its entry point."""
    package = site / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "file.py").write_text(
        "import os\n"
        "from keyring.backend import KeyringBackend\n"
        "class PlaintextKeyring(KeyringBackend):\n"
        "    priority = 5\n"
        "    def get_password(self, service, username):\n"
        "        return None\n"
        "    def set_password(self, service, username, password):\n"
        "        with open(os.path.join(os.environ['HOME'], 'plain'), 'w') as file:\n"
        "            file.write(password)\n"
    )
    info = site / "keyrings.alt-5.0.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keyrings.alt\nVersion: 5.0.2\n")
    (info / "entry_points.txt").write_text("[keyring.backends]\nfile = keyrings.alt.file\n")


@pytest.mark.parametrize("chosen", [{}, {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring"}])
def test_keyrings_alt_gets_no_key_even_if_it_is_installed(chosen: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    installed_plaintext(tmp_path / "site")
    env = environment(tmp_path, PYTHONPATH=str(tmp_path / "site"), **chosen)
    message = run_python(TRY, tmp_path, KEY, env=env)
    assert "keyrings.alt.file.PlaintextKeyring" in message
    assert list((tmp_path / "user").iterdir()) == []


def test_a_machine_without_a_keyring_says_what_to_set(tmp_path: Path) -> None:
    env = environment(tmp_path, PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")
    message = run_python(TRY, tmp_path, KEY, env=env)
    assert message.startswith(
        "this machine has no keyring to keep API keys in; set ASKEL_VAULT_KEY to a passphrase"
    )
    assert "ASKEL_VAULT_KEY_FILE" in message
    assert message.count("\n") == 1


def test_with_a_passphrase_keys_are_in_the_vault(
    backends: list[KeyringBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKEL_VAULT_KEY", "open sesame")
    backends.append(fake(SAFE[0]))
    kept = open_key_store(tmp_path)
    kept.set("maple", KEY)
    assert open_key_store(tmp_path).get("maple") == KEY
    assert "ASKEL_VAULT_KEY" in kept.backend_name
    assert KEY not in repr(kept)
    assert vars(type(backends[0]))["kept"] == {}
    forms = (KEY, KEY[3:], KEY[::-1], base64.b64encode(KEY.encode()).decode(), KEY.encode().hex(), "sesame")
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not any(form.encode() in path.read_bytes() for form in forms)
    kept.delete("maple")
    kept.delete("maple")
    assert kept.get("maple") is None


def test_a_home_with_a_vault_asks_for_what_opens_it(
    backends: list[KeyringBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends.append(fake(SAFE[0]))
    monkeypatch.setenv("ASKEL_VAULT_KEY", "open sesame")
    open_key_store(tmp_path).set("maple", KEY)
    monkeypatch.setenv("ASKEL_VAULT_KEY", "wrong")
    with pytest.raises(VaultLocked, match="does not open with ASKEL_VAULT_KEY"):
        open_key_store(tmp_path).get("maple")
    monkeypatch.delenv("ASKEL_VAULT_KEY")
    with pytest.raises(NoSafeKeyring, match=r"vault\.json; set ASKEL_VAULT_KEY or ASKEL_VAULT_KEY_FILE"):
        open_key_store(tmp_path)


def test_an_unfit_key_file_stops_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o644)
    monkeypatch.setenv("ASKEL_VAULT_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(VaultLocked, match="chmod 600"):
        open_key_store(tmp_path)
    (tmp_path / "key").chmod(0o600)
    open_key_store(tmp_path).set("maple", KEY)
    assert open_key_store(tmp_path).get("maple") == KEY


def test_the_vault_is_a_keyring_backend_like_any_other(
    backends: list[KeyringBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from askel_tui.store.secrets.keyring_backend import AskelVault

    monkeypatch.setenv("ASKEL_HOME", str(tmp_path / "home"))
    with pytest.raises(RuntimeError, match="neither ASKEL_VAULT_KEY nor"):
        _ = AskelVault.priority
    monkeypatch.setenv("ASKEL_VAULT_KEY", "open sesame")
    assert AskelVault.priority == 2.5
    backends.append(AskelVault())
    keyring.set_password("service", "user", "secret")
    assert keyring.get_password("service", "user") == "secret"
    keyring.delete_password("service", "user")
    with pytest.raises(PasswordDeleteError, match="no password of 'user'"):
        keyring.delete_password("service", "user")
    assert (tmp_path / "home" / "vault.json").exists()


@pytest.mark.parametrize(
    "key", ["", " \n", "pk_a b", "pk_a\nb", "pk_a\tb", "pk_\x00", "pk_\u200b1", "pk_\u00a01", "a\ud800b"]
)
def test_text_that_cannot_be_a_key_is_refused_and_not_shown(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKEL_VAULT_KEY", "open sesame")
    with pytest.raises(InvalidKey) as caught:
        open_key_store(tmp_path).set("maple", key)
    assert not key.strip() or key not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1))
def test_a_key_loses_its_blanks_and_keeps_its_fingerprint(key: str) -> None:
    assert check_key(f" {key}\r\n") == key
    assert fingerprint(f" {key}\n") == fingerprint(key)
    assert len(fingerprint(key)) == len("sha256:") + 12


def test_the_fingerprint_is_the_start_of_sha_256() -> None:
    assert fingerprint("abc") == "sha256:ba7816bf8f01"


def test_state_and_secrets_load_no_keyring_and_no_cryptography() -> None:
    code = """
        import sys
        import askel_tui.store.state.state, askel_tui.store.secrets.key_store
        import askel_tui.store.locks, askel_tui.store.paths
        print([name for name in ("keyring", "cryptography", "httpx", "textual") if name in sys.modules])
    """
    assert run_python(code).strip() == "[]"


def test_errors_paths_and_locks_load_neither_pydantic_nor_tinydb() -> None:
    code = """
        import sys
        import askel_tui.store.errors, askel_tui.store.paths, askel_tui.store.locks, askel_tui.store.secrets.key_store
        print([name for name in ("pydantic", "tinydb", "keyring") if name in sys.modules])
    """
    assert run_python(code).strip() == "[]"
