"""Fixtures of the tests that run commands."""

from __future__ import annotations

import pytest

from splade_connectors.cli import main
from tests.integration.command_line import Done, Run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def do(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(stop.value.code if isinstance(stop.value.code, int) else 0, out, err)

    return do
