"""What other tools answer, and that every disagreement has its reason in docs/versioning.md."""

from __future__ import annotations

import os
from pathlib import Path

import peers
import pytest


def test_every_history_was_asked_about() -> None:
    assert set(peers.kept()) == {history.name for history in peers.compared()}
    assert len(peers.kept()) >= 90


def test_every_disagreement_has_a_reason() -> None:
    found = peers.kept()
    differing = [
        history.name for history in peers.compared() if set(found[history.name].values()) != {peers.ours(history)}
    ]
    assert differing and [name for name in differing if peers.reason(name) is None] == []


def test_the_page_shows_them_all() -> None:
    assert peers.PAGE.read_text() == peers.page(peers.kept()), "python tests/versions/peers.py writes it anew"


@pytest.mark.slow
def test_the_tools_still_answer_so(tmp_path: Path) -> None:
    programs = os.environ.get("DSCI_TEST_PEERS")
    assert programs, "scripts/test --all installs git-cliff, python-semantic-release and commitizen for this"
    assert peers.ask_all(Path(programs), tmp_path) == peers.kept()
