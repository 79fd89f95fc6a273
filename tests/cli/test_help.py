"""Every command can be found out about."""

from __future__ import annotations

import sys

import click
import pytest
from click.testing import CliRunner

from askel_tui.cli.main import COMMANDS, cli
from tests.support.askel import Askel
from tests.support.commands import EVERY, does_something

pytestmark = pytest.mark.clock


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_says_what_it_does_with_an_example(path: tuple[str, ...]) -> None:
    command = EVERY[path]
    shown = CliRunner().invoke(cli, [*path, "--help"], prog_name="askel")
    assert shown.exit_code == 0
    assert command.help
    if does_something(command):
        assert f"askel {' '.join(path)}" in shown.output.partition("xample")[2]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts} has no help"


def test_the_help_of_askel_names_every_command() -> None:
    shown = CliRunner().invoke(cli, ["--help"], prog_name="askel")
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown.output
        assert entry.help in shown.output


def test_without_a_terminal_askel_shows_its_help(askel: Askel) -> None:
    assert askel().stdout.startswith("Usage: askel")


@pytest.mark.parametrize(
    ("words", "guess"),
    [(["statsu"], "'status'"), (["workflow", "aply"], "'apply'"), (["hold", "realease"], "'release'")],
)
def test_a_mistyped_command_is_guessed(askel: Askel, words: list[str], guess: str) -> None:
    assert f"Did you mean {guess}?" in askel(*words, code=2).stderr


def test_a_command_that_is_like_none_gets_the_list(askel: Askel) -> None:
    message = askel("xyzzy", code=2).stderr
    assert "connect, check" in message
    assert message.count("\n") == 1


def test_the_version(askel: Askel) -> None:
    assert askel("--version").stdout == f"askel {sys.modules['askel_tui'].__version__}\n"
