"""Tags that cannot stand side by side."""

from __future__ import annotations

import pytest

from dsci.model.gitnames import TagNames


@pytest.mark.parametrize(
    ("standing", "name", "rival"),
    [
        ((), "v1.2.4", ""),
        (("v1.2.3", "v1.2.40", "xv1.2.4"), "v1.2.4", ""),
        (("v1.2.4",), "v1.2.4", "v1.2.4"),
        (("V1.2.4",), "v1.2.4", "V1.2.4"),
        (("ML-V1.2.4", "ml-v1.2.3"), "ml-v1.2.4", "ML-V1.2.4"),
        (("v1.2.4/notes",), "v1.2.4", "v1.2.4/notes"),
        (("V1.2.4/a/b",), "v1.2.4", "V1.2.4/a/b"),
        (("ml",), "ml/v1.2.4", "ml"),
        (("Team/ML",), "team/ml/v1.2.4", "Team/ML"),
        (("ml-cuda", "m", "ml/v1.2.3"), "ml/v1.2.4", ""),
        (("v1.2.4\udce9",), "v1.2.4", ""),
    ],
)
def test_rival(standing: tuple[str, ...], name: str, rival: str) -> None:
    assert TagNames(standing).rival(name) == rival
