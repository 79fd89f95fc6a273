"""The vault gives keys back to whoever holds the master, and to nobody else."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askel_tui.store.errors import HomeUnusable, StoreError, VaultDamaged, VaultLocked
from askel_tui.store.secrets.master_key import MasterKey, find_master_key
from askel_tui.store.secrets.vault import KdfCost, Vault
from tests.support.examples import examples
from tests.support.processes import finished, line, python

if TYPE_CHECKING:
    from pathlib import Path

CHEAP = KdfCost(iterations=1, lanes=1, memory=64)
KEY = "pk_0123456789abcdef0123456789abcdef01"
OTHER = "pk_fedcba9876543210fedcba9876543210fe"

SETTER = """
    import sys
    from pathlib import Path
    from askel_tui.store.secrets.master_key import MasterKey
    from askel_tui.store.secrets.vault import KdfCost, Vault
    vault = Vault(Path(sys.argv[1]), MasterKey("passphrase", b"open", "test"), KdfCost(1, 1, 64))
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(10):
        vault.set("s", f"{sys.argv[2]} {n}", f"key {sys.argv[2]} {n}")
"""


def passphrase(text: str = "open sesame") -> MasterKey:
    return MasterKey("passphrase", text.encode(), "ASKEL_VAULT_KEY")


def key_file(byte: int = 7) -> MasterKey:
    return MasterKey("key", bytes([byte]) * 32, "ASKEL_VAULT_KEY_FILE")


def filled(path: Path, master: MasterKey | None = None) -> Vault:
    vault = Vault(path, master or passphrase(), CHEAP)
    vault.set("s", "maple", KEY)
    vault.set("s", "ember", OTHER)
    return vault


@pytest.mark.parametrize("master", [passphrase(), key_file()], ids=["passphrase", "key file"])
def test_what_was_put_in_comes_out(master: MasterKey, tmp_path: Path) -> None:
    filled(tmp_path / "vault.json", master)
    vault = Vault(tmp_path / "vault.json", master)
    assert vault.get("s", "maple") == KEY
    assert vault.get("s", "ember") == OTHER
    assert vault.get("s", "other") is vault.get("t", "maple") is None
    vault.set("s", "maple", "new")
    assert vault.get("s", "maple") == "new"
    assert vault.delete("s", "maple") is True
    assert vault.delete("s", "maple") is False
    assert vault.get("s", "maple") is None
    assert vault.get("s", "ember") == OTHER


def test_a_vault_that_does_not_exist_is_empty_and_is_not_made_by_looking(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.json", passphrase(), CHEAP)
    assert vault.get("s", "maple") is None
    assert vault.delete("s", "maple") is False
    assert not (tmp_path / "vault.json").exists()


@pytest.mark.parametrize(
    ("made", "tried"),
    [
        (passphrase(), passphrase("open Sesame")),
        (key_file(), key_file(8)),
        (passphrase(), key_file()),
        (key_file(), passphrase()),
        (key_file(), MasterKey("passphrase", key_file().secret, "ASKEL_VAULT_KEY")),
    ],
)
def test_a_wrong_master_opens_nothing_and_changes_nothing(
    made: MasterKey, tried: MasterKey, tmp_path: Path
) -> None:
    path = tmp_path / "vault.json"
    right, wrong = filled(path, made), Vault(path, tried, CHEAP)
    before = path.read_bytes()
    uses = (
        lambda: wrong.get("s", "maple"),
        lambda: wrong.get("s", "nobody"),
        lambda: wrong.set("s", "maple", "x"),
        lambda: wrong.delete("s", "maple"),
    )
    for use in uses:
        with pytest.raises(VaultLocked) as caught:
            use()
        assert tried.source in str(caught.value)
        assert "sesame" not in str(caught.value).lower()
    assert path.read_bytes() == before
    assert right.get("s", "maple") == KEY


def test_neither_keys_nor_passphrase_are_in_the_file_and_it_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        filled(tmp_path / "vault.json")
    finally:
        os.umask(old)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for secret in (KEY, KEY[3:], OTHER, "sesame"):
            assert secret.encode() not in content


def test_nothing_is_encrypted_twice_alike(tmp_path: Path) -> None:
    vault = filled(tmp_path / "vault.json")
    before = json.loads((tmp_path / "vault.json").read_text())["entries"]
    vault.set("s", "maple", KEY)
    after = json.loads((tmp_path / "vault.json").read_text())["entries"]
    [changed] = [name for name in before if before[name] != after[name]]
    assert before[changed]["nonce"] != after[changed]["nonce"]
    assert before[changed]["data"] != after[changed]["data"]


def swap(document: dict[str, Any]) -> None:
    one, other = document["entries"]
    entries = document["entries"]
    entries[one], entries[other] = entries[other], entries[one]


def rename(document: dict[str, Any]) -> None:
    document["entries"]['["s","third"]'] = document["entries"].pop('["s","maple"]')


def take_out(document: dict[str, Any]) -> None:
    del document["entries"]['["s","maple"]']


def cheapen(document: dict[str, Any]) -> None:
    document["kdf"]["memory"] = 2**40


def drop_mac(document: dict[str, Any]) -> None:
    del document["mac"]


@pytest.mark.parametrize("change", [swap, rename, take_out, cheapen, drop_mac])
def test_entries_that_were_moved_about_are_noticed(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "vault.json"
    vault = filled(path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    changed = path.read_bytes()
    for name in ("maple", "ember", "third"):
        with pytest.raises(
            VaultDamaged, match=r"vault\.json was damaged or changed.*restore it from a backup"
        ):
            vault.get("s", name)
    with pytest.raises(VaultDamaged):
        vault.set("s", "fourth", "x")
    assert path.read_bytes() == changed


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vault, bytes]:
    vault = filled(tmp_path_factory.mktemp("vault") / "vault.json")
    return vault, vault.path.read_bytes()


@examples(300)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example(0.0, 1)
def test_no_changed_byte_gives_a_wrong_answer(
    sample: tuple[Vault, bytes], position: float, flip: int
) -> None:
    vault, content = sample
    changed = bytearray(content)
    changed[int(position * len(content))] ^= flip
    vault.path.write_bytes(changed)
    try:
        assert vault.get("s", "maple") == KEY
    except StoreError:
        return
    # Only blanks between the parts can be other ones.
    assert json.loads(changed) == json.loads(content)


@given(st.integers(0, 2000))
def test_no_cut_vault_is_taken_for_an_empty_one(sample: tuple[Vault, bytes], size: int) -> None:
    vault, content = sample
    vault.path.write_bytes(content[: size % len(content)])
    with pytest.raises(VaultDamaged):
        vault.get("s", "maple")


def test_a_vault_of_a_newer_askel_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "vault.json").write_text('{"format": 2}')
    with pytest.raises(VaultLocked, match="written by a newer Askel"):
        filled(tmp_path / "vault.json")


def test_four_processes_setting_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vault.json"
    with ExitStack() as stack:
        setters = [stack.enter_context(python(SETTER, path, number)) for number in range(4)]
        for setter in setters:
            assert line(setter) == "ready"
        for setter in setters:
            assert setter.stdin is not None
            setter.stdin.write("go\n")
            setter.stdin.flush()
        for setter in setters:
            finished(setter)
    vault = Vault(path, MasterKey("passphrase", b"open", "test"))
    names = [f"{number} {n}" for number in range(4) for n in range(10)]
    assert [vault.get("s", name) for name in names] == [f"key {name}" for name in names]


def test_threads_may_open_vaults_at_once(tmp_path: Path) -> None:
    vaults = [
        Vault(tmp_path / f"{number}.json", passphrase(), KdfCost(iterations=2, lanes=4, memory=4096))
        for number in range(4)
    ]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda vault: vault.set("askel", "a", "secret"), vaults))
        assert list(threads.map(lambda vault: vault.get("askel", "a"), vaults)) == ["secret"] * 4


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HomeUnusable, match="set ASKEL_HOME"):
        filled(tmp_path / "missing" / "vault.json")


# What opens it.


def written(path: Path, content: bytes = b"k" * 32, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_master_comes_from_the_environment(tmp_path: Path) -> None:
    assert find_master_key({}) is None
    assert find_master_key({"ASKEL_VAULT_KEY": "", "ASKEL_VAULT_KEY_FILE": ""}) is None
    phrase = find_master_key({"ASKEL_VAULT_KEY": "open"})
    assert phrase == MasterKey("passphrase", b"open", "ASKEL_VAULT_KEY")
    file = written(tmp_path / "key")
    both = find_master_key({"ASKEL_VAULT_KEY": "open", "ASKEL_VAULT_KEY_FILE": str(file)})
    assert both == MasterKey("key", b"k" * 32, "ASKEL_VAULT_KEY_FILE")
    assert "open" not in repr(phrase)
    assert "kkk" not in repr(both)


def test_systemds_credential_opens_the_vault(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "ASKEL_VAULT_KEY": "open"}
    assert find_master_key(environ) == MasterKey("passphrase", b"open", "ASKEL_VAULT_KEY")
    # systemd's own mode: readable through an access list, which shows as a group's right.
    written(tmp_path / "askel-master", b"c" * 32, 0o440)
    assert find_master_key(environ) == MasterKey("key", b"c" * 32, "systemd's credential askel-master")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_file_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    file = written(tmp_path / "key", mode=mode)
    with pytest.raises(VaultLocked, match=rf"open to others \(mode {mode:04o}\); run: chmod 600"):
        find_master_key({"ASKEL_VAULT_KEY_FILE": str(file)})


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "key")
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(VaultLocked, match="belongs to another user"):
        find_master_key({"ASKEL_VAULT_KEY_FILE": str(file)})


def test_a_key_file_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(VaultLocked, match="symbolic link"):
        find_master_key({"ASKEL_VAULT_KEY_FILE": str(tmp_path / "link")})


@pytest.mark.parametrize("content", [b"", b"k" * 31, b"k" * 33, b"0" * 64 + b"\n"])
def test_a_key_file_of_another_size_is_refused(content: bytes, tmp_path: Path) -> None:
    file = written(tmp_path / "key", content)
    with pytest.raises(VaultLocked, match=r"bytes instead of 32; make one with: umask 077; head -c 32"):
        find_master_key({"ASKEL_VAULT_KEY_FILE": str(file)})


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, why in (
        ("missing", "can't be read: no such file"),
        ("pipe", "is not a file"),
        (".", "is not a file"),
    ):
        with pytest.raises(VaultLocked, match=why):
            find_master_key({"ASKEL_VAULT_KEY_FILE": str(tmp_path / name)})
