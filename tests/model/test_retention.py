"""Ages of `retention:`: how they are written, where a wrong one is told, and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.errors import ConfigError
from dsci.model import config, retention
from dsci.model.retention import Ages, RetentionSettings, Rule
from dsci.model.settings import Settings

DAY = 86400


@pytest.mark.parametrize(
    ("text", "value"), [("30d", 30 * DAY), ("12h", 12 * 3600), ("90m", 5400), ("01d", DAY), ("never", None)]
)
def test_ages(text: str, value: int | None) -> None:
    assert retention.seconds(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "d", "30", "0d", "000m", "-1d", "1.5d", "30 d", "30D", "1w", "30s", "٣d", "Never", "1d\n", "9" * 6 + "d"],
)
def test_no_ages(text: str) -> None:
    with pytest.raises(ValueError):
        retention.seconds(text)


@given(st.text("0139dhm. -nevr", max_size=8))
def test_any_age_is_positive_never_or_a_value_error(text: str) -> None:
    try:
        value = retention.seconds(text)
    except ValueError:
        return
    assert (value is None and text == "never") or (value is not None and value > 0)


@pytest.mark.parametrize("rule", list(Rule))
def test_a_wrong_age_is_told_with_its_place(rule: Rule) -> None:
    with pytest.raises(ConfigError) as error:
        config.parse(f"gate: lineage\nretention:\n  keep: [x]\n  {rule}: 2 weeks\n")
    assert error.value.message == f"dsci.yaml:4: retention.{rule}: '2 weeks' is no age"
    assert "30d" in error.value.hint and "never" in error.value.hint


def test_a_key_that_is_not_known_is_told_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"dsci\.yaml:2: retention: unknown key 'branch' \(did you mean 'branches'"):
        config.parse("retention:\n  branch: 3d\n")


def test_what_settings_say() -> None:
    settings = config.parse("retention: {keyed: 3d, requests: never, keep: [staging, 'demo-*']}")[0].retention
    ages = Ages.of(settings)
    assert ages.limits == {
        Rule.KEYED: 3 * DAY,
        Rule.INDEXES: 30 * DAY,
        Rule.REQUESTS: None,
        Rule.BRANCHES: 30 * DAY,
        Rule.COMMITS: None,
        Rule.CACHES: 7 * DAY,
    }
    assert [ages.spared(tag) for tag in ("staging", "demo-1", "Staging", "demo")] == [True, True, False, False]
    given_now = Ages.of(settings, 60)
    assert {rule: limit for rule, limit in given_now.limits.items() if limit != 60} == {
        Rule.REQUESTS: None,
        Rule.COMMITS: None,
    }
    assert given_now.keep == settings.keep
    assert Settings().retention == RetentionSettings()


def test_how_an_age_is_told() -> None:
    told = [Ages(limits={Rule.KEYED: limit}).told(Rule.KEYED) for limit in (0, 90 * 60, 7200, 3 * DAY, None)]
    assert told == [f"keyed: older than {text}" for text in ("0d", "90m", "2h", "3d", "0d")]


def test_what_is_exactly_as_old_stays() -> None:
    ages = Ages.of(RetentionSettings(), DAY)
    assert ages.stays(Rule.KEYED, 1000, 1000 + DAY) == "it is young"
    assert ages.stays(Rule.KEYED, 1000, 1001 + DAY) == ""
    assert ages.stays(Rule.KEYED, 1000, 0) == "it is young", "of a clock that is behind"
