"""Where state lives, and which places are refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askel_tui.store import paths
from askel_tui.store.errors import HomeUnusable

MOUNTS = """\
/dev/vda / ext4 rw 0 0
team:/export /mnt/team\\040share nfs4 rw 0 0
/dev/vdb /mnt/team\\040share/fast ext4 rw 0 0
old:/x /srv nfs rw 0 0
/dev/vdc /srv xfs rw 0 0
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_home_is_askel_home_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKEL_HOME", str(tmp_path / "a" / "b"))
    old = os.umask(0)
    try:
        assert paths.home() == tmp_path / "a" / "b"
    finally:
        os.umask(old)
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_home_understands_a_tilde_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASKEL_HOME", "~/state")
    assert paths.home() == tmp_path / "state"
    monkeypatch.setenv("ASKEL_HOME", "here")
    assert paths.home() == tmp_path / "here"


@pytest.mark.parametrize("value", ["", None])
def test_without_askel_home_it_is_the_users_data_directory(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if value is None:
        monkeypatch.delenv("ASKEL_HOME", raising=False)
    else:
        monkeypatch.setenv("ASKEL_HOME", value)
    assert paths.default_home().is_relative_to(tmp_path)
    assert paths.default_home().name == "askel"


def test_a_directory_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    paths.ensure_usable(tmp_path)
    assert mode(tmp_path) == 0o750


@pytest.mark.parametrize("location", ["file", "file/below", "/proc/askel/home"])
def test_an_unusable_home_is_one_sentence(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASKEL_HOME", str(tmp_path / location))
    with pytest.raises(HomeUnusable) as caught:
        paths.home()
    assert str(tmp_path / location) in str(caught.value)
    assert "set ASKEL_HOME to" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada", "ext4"),
        ("/mnt/team share", "nfs4"),
        ("/mnt/team share/askel", "nfs4"),
        ("/mnt/team share/fast/askel", "ext4"),
        ("/mnt/team shared", "ext4"),
        ("/srv/askel", "xfs"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert paths.file_system_type(path, MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smbfs", "smb3", "fuse.sshfs"])
def test_network_file_systems_are_refused(kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nteam:/x {tmp_path}/home {kind} rw 0 0\n")
    with pytest.raises(HomeUnusable, match=rf"network file system \({kind}\).*set ASKEL_HOME"):
        paths.ensure_usable(tmp_path / "home", mounts)
    assert paths.ensure_usable(tmp_path / "other", mounts) == tmp_path / "other"


def test_a_link_to_a_network_file_system_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nteam:/x {tmp_path}/far nfs4 rw 0 0\n")
    with pytest.raises(HomeUnusable, match="nfs4"):
        paths.ensure_usable(tmp_path / "near", mounts)


@pytest.mark.parametrize("kind", ["overlay", "9p", "tmpfs", "ext4"])
def test_what_containers_use_is_not_refused(kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"all / {kind} rw 0 0\n")
    assert paths.ensure_usable(tmp_path / "home", mounts) == tmp_path / "home"


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(names, names)
def test_catalog_files_differ_even_where_case_does_not_count(one: str, other: str) -> None:
    first, second = (paths.catalog_file(Path("/h"), name) for name in (one, other))
    assert first.parent == Path("/h/catalogs")
    assert (first.name.lower() == second.name.lower()) == (one == other)
