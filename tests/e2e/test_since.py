"""What a branch changes, built and tested on a machine that has nothing, where the registry shows nothing to it."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Project, outcomes

pytestmark = pytest.mark.engine


def test_what_a_branch_changes_is_built_with_what_it_stands_on(tiny: Project) -> None:
    tiny.push(
        "feat: another", {"images/other/Dockerfile": "FROM debian:bookworm-slim\nCOPY x /x\n", "images/other/x": "x"}
    )
    tiny.git("checkout", "--quiet", "-b", "theirs")
    # Nothing differs yet: to choose none is not to choose all.
    assert outcomes(tiny.dsci("test", "--since", "main", "--json")) == {}
    tiny.commit("fix: another model", {"images/ml/model.txt": "v2\n"})
    assert outcomes(tiny.dsci("build", "--since", "main", "--json", "--no-keep")) == {
        "base build": "ok",
        "ml build": "ok",
    }
    # Names and --since hold together.
    assert outcomes(tiny.dsci("test", "other", "--since", "origin/main", "--json")) == {}
    assert "Git knows no commit 'nowhere'" in tiny.dsci("test", "--since", "nowhere", code=3).stderr
    both = tiny.dsci("test", "--since", "main", "--only", "ml@linux/amd64", "--plan", "plan.json", code=2)
    assert "--since and --only exclude each other" in both.stderr
