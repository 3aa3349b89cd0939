"""Which names say that what they name is a secret."""

from __future__ import annotations

import pytest

from dsci.model.secretname import is_secret


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "GITHUB_TOKEN",
        "token_of_mine",
        "DB_PASSWORD",
        "PASSWD",
        "API_KEY",
        "APIKEY",
        "AWS_SECRET_ACCESS_KEY",
        "SSH_PRIVATE_KEY",
        "NPM_CREDENTIALS",
    ],
)
def test_secrets(name: str) -> None:
    assert is_secret(name, "s3cr3t") and is_secret(name, "1234")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "x"),
        ("PYTHON_VERSION", "3.12"),
        ("KEYBOARD", "de"),
        ("SECRETARY", "x"),
        ("AUTHOR", "x"),
        ("NO_PASSWORD", "true"),
        ("ALLOW_EMPTY_PASSWORD", "yes"),
        ("TOKEN", ""),
    ],
)
def test_no_secrets(name: str, value: str) -> None:
    assert not is_secret(name, value)
