"""State: what was stored comes back, under any name, for any number of processes."""

from __future__ import annotations

import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from askel_tui.core.operations import Target
from askel_tui.store.errors import (
    CorruptState,
    HomeUnusable,
    InvalidName,
    UnknownConnection,
    UnknownVersion,
    UnknownWorkflow,
)
from askel_tui.store.state.documents import ConnectionDoc, PinnedStep
from askel_tui.store.state.state import State
from tests.support.processes import finished, line, python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.clock

TARGETS = {
    "welcome": PinnedStep(target=Target("list", "Y6nRLr", "Welcome Flow")),
    "points": PinnedStep(target=Target("metric", None, "First Points Earned")),
    "fire": PinnedStep(
        target=Target("flow", "F1", "Welcome"), through=Target("list", "Y6nRLr", "Welcome Flow")
    ),
}

APPLIER = """
    import sys
    from pathlib import Path
    from askel_tui.store.state.state import State
    state = State(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(10):
        print(state.save_workflow_version(
            "welcome", connection="c", source=f"{sys.argv[2]} {n}", targets={}, applied=1, actor="a"))
"""


def connection(name: str = "maple-ember", **fields: Any) -> ConnectionDoc:
    known = {"key": "sha256:0123456789ab", "revision": "2026-07-15", "created": 1_795_000_000_000}
    return ConnectionDoc.model_validate({"name": name} | known | fields)


def apply(state: State, name: str = "welcome", source: str = "steps: []") -> int:
    return state.save_workflow_version(
        name, connection="maple-ember", source=source, targets=TARGETS, applied=5, actor="ada", file="w.yaml"
    )


def test_connections_come_back_whole(tmp_path: Path) -> None:
    full = connection(
        account="MpEmbr",
        account_name="Maple & Ember",
        customer="Ädam",
        only_lists=("Y6nRLr",),
        notify=("slack://token",),
        on_conflict="merge",
        scopes={"profiles:read": "present", "flows:read": "missing", "events:write": "not verified"},
    )
    with State(tmp_path) as state:
        state.save_connection(full)
        state.save_connection(connection("another"))
    with State(tmp_path) as state:
        assert state.connection("maple-ember") == full
        assert [each.name for each in state.connections()] == ["another", "maple-ember"]


def test_saving_a_connection_replaces_the_one_of_that_name(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.save_connection(connection(customer="one"))
        state.save_connection(connection(customer="two"))
        assert [each.customer for each in state.connections()] == ["two"]


@pytest.mark.parametrize(
    ("revision", "accepted"), [("2024-02-15", True), ("2026-07-15", False), ("2026-10-15", False)]
)
def test_a_connection_of_before_keeps_to_how_its_revision_is_served(revision: str, accepted: bool) -> None:
    assert connection(revision=revision).accept_retired is accepted
    assert connection(revision=revision, accept_retired=False).accept_retired is False


def test_changing_a_connection_keeps_the_rest(tmp_path: Path) -> None:
    with State(tmp_path) as state, State(tmp_path) as other:
        state.save_connection(connection(customer="one"))
        other.change_connection("maple-ember", revision="2024-02-15")
        changed = state.change_connection("maple-ember", key="sha256:ba9876543210")
        assert changed == connection(
            customer="one", revision="2024-02-15", accept_retired=False, key="sha256:ba9876543210"
        )
        assert other.connection("maple-ember") == changed
        with pytest.raises(UnknownConnection):
            state.change_connection("nobody", key="x")


def test_an_unknown_connection_is_answered_with_a_guess(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        with pytest.raises(UnknownConnection, match="There is none yet: `askel connect NAME --key-stdin`"):
            state.connection("maple-ember")
        state.save_connection(connection())
        with pytest.raises(UnknownConnection, match=r"'maple-embr'. Did you mean 'maple-ember'\?"):
            state.connection("maple-embr")
        with pytest.raises(UnknownConnection, match="Known: maple-ember"):
            state.remove_connection("zzz")


def test_a_removed_connection_takes_its_catalog_along(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.save_connection(connection())
        state.save_catalog("maple-ember", {"taken": 1})
        state.remove_connection("maple-ember")
        assert state.connections() == []
        assert state.catalog("maple-ember") is None


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "a/b", "a\n", "é", "x" * 65, "../up"])
def test_names_that_cannot_be_a_connections(name: str, tmp_path: Path) -> None:
    with State(tmp_path) as state, pytest.raises(InvalidName, match="up to 64 letters, digits"):
        state.save_connection(connection(name))


def test_addresses_of_notices_are_not_shown() -> None:
    assert "token" not in repr(connection(notify=("slack://token",)))


def test_versions_count_up_and_stay(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert [apply(state, source="one"), apply(state, source="two"), apply(state, "other")] == [1, 2, 1]
    with State(tmp_path) as state:
        newest = state.workflow("welcome")
        assert (newest.version, newest.source, newest.file, newest.actor) == (2, "two", "w.yaml", "ada")
        assert newest.targets == TARGETS
        assert newest.targets["fire"].through == Target("list", "Y6nRLr", "Welcome Flow")
        assert state.workflow("welcome", 1).source == "one"
        assert [doc.version for doc in state.versions("welcome")] == [1, 2]
        assert [(doc.workflow, doc.version) for doc in state.workflows()] == [("other", 1), ("welcome", 2)]


def test_unknown_workflows_and_versions_are_answered_with_a_hint(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        with pytest.raises(UnknownWorkflow, match="There is none yet: `askel workflow apply FILE`"):
            state.workflow("welcome")
        apply(state)
        with pytest.raises(UnknownWorkflow, match="Did you mean 'welcome'"):
            state.versions("wellcome")
        with pytest.raises(UnknownWorkflow, match="Did you mean 'welcome'"):
            state.remove_workflow("welcom")
        with pytest.raises(UnknownVersion, match="'welcome' has no version 7; its newest one is 1"):
            state.workflow("welcome", 7)


def test_a_version_number_is_never_used_twice(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        apply(state)
        apply(state)
        state.remove_workflow("welcome")
        assert state.workflows() == []
        assert apply(state) == 3


def test_four_processes_applying_at_once_get_a_version_each(tmp_path: Path) -> None:
    with ExitStack() as stack:
        appliers = [stack.enter_context(python(APPLIER, tmp_path, number)) for number in range(4)]
        for applier in appliers:
            assert line(applier) == "ready"
        for applier in appliers:
            assert applier.stdin is not None
            applier.stdin.write("go\n")
            applier.stdin.flush()
        given = [int(version) for applier in appliers for version in finished(applier).split()]
    assert sorted(given) == list(range(1, 41))
    with State(tmp_path) as state:
        stored = state.versions("welcome")
    assert [doc.version for doc in stored] == list(range(1, 41))
    assert {doc.source for doc in stored} == {f"{number} {n}" for number in range(4) for n in range(10)}


def test_settings(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert state.settings() == {}
        state.save_setting("theme", "maple")
        state.save_setting("columns", ["name", "state"])
        state.save_setting("theme", "ember")
        assert state.settings() == {"theme": "ember", "columns": ["name", "state"]}
        state.save_setting("theme", None)
        assert state.settings() == {"columns": ["name", "state"]}


def test_catalogs_are_one_private_file_per_connection(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert state.catalog("maple") is None
        state.save_catalog("maple", {"taken": 1, "lists": [{"id": "Y6nRLr", "name": "Welcome Flow"}]})
        state.save_catalog("Maple", {"taken": 2})
        state.save_catalog("maple", {"taken": 3, "lists": []})
        assert state.catalog("maple") == {"taken": 3, "lists": []}
        assert state.catalog("Maple") == {"taken": 2}
    files = [path for path in (tmp_path / "catalogs").iterdir() if path.suffix == ".json"]
    assert len(files) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "catalogs").stat().st_mode) == 0o700


def test_a_catalog_is_the_callers_own(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.save_catalog("maple", {"lists": [{"name": "Welcome Flow"}]})
        mine = state.catalog("maple")
        assert mine is not None
        mine["lists"][0]["name"] = "changed"
        assert state.catalog("maple") == {"lists": [{"name": "Welcome Flow"}]}


@pytest.mark.parametrize(
    "change", [('"revision"', '"rev"'), ('"maple-ember"', "5"), ('"notify"', '"unheard_of"')]
)
def test_a_document_that_is_not_ours_is_reported_without_its_content(
    change: tuple[str, str], tmp_path: Path
) -> None:
    with State(tmp_path) as state:
        state.save_connection(connection(notify=("slack://token",)))
        file = tmp_path / "state.json"
        file.write_text(file.read_text().replace(*change))
        with pytest.raises(CorruptState, match=r"ConnectionDoc 1, .*restore it from a backup") as caught:
            state.connections()
    assert "token" not in str(caught.value)


def test_state_in_a_home_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        State(tmp_path / "file") as state,
        pytest.raises(HomeUnusable, match="not a directory; set ASKEL_HOME"),
    ):
        state.connections()
