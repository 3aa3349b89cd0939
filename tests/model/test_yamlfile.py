"""YAML read strictly: text stays text, every mistake has its line, nothing but ConfigError comes out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model import yamlfile
from dsci.model.location import Location
from dsci.model.settings import Settings
from dsci.model.text import nearest
from dsci.model.yamlfile import load


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    count: int = 0


class Doc(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    text: str = ""
    maybe: str | None = "default"
    number: int = 0
    truth: bool = False
    on: bool = True
    words: tuple[str, ...] = ()
    choice: Literal["red", "green"] = "red"
    table: dict[str, str] = {}
    leaves: dict[str, Leaf] = {}
    either: str | Leaf | tuple[str, ...] | None = None
    switch: bool | dict[str, str] = False
    lists: tuple[str, ...] | dict[str, str] = ()
    colours: Literal["red"] | tuple[str, ...] = "red"
    inner: Doc | None = None


def read(text: str, **limits: int) -> Doc:
    return load(text, Doc, file="x.yaml", hint="see the keys")[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", Doc(), id="empty"),
        pytest.param("# nothing\n", Doc(), id="a comment"),
        pytest.param("~", Doc(), id="null"),
        pytest.param("text: 1.10", Doc(text="1.10"), id="a version is no number"),
        pytest.param("text: yes", Doc(text="yes"), id="yes is text"),
        pytest.param("text: 0o17", Doc(text="0o17"), id="octal is text"),
        pytest.param("text: 2001-01-01", Doc(text="2001-01-01"), id="a date is text"),
        pytest.param("text: 'null'", Doc(text="null"), id="a quoted null is text"),
        pytest.param('text: ""', Doc(text=""), id="quoted empty text"),
        pytest.param("text: |\n  a\n  b\n", Doc(text="a\nb\n"), id="block"),
        pytest.param("maybe:", Doc(maybe=None), id="nothing where nothing may be"),
        pytest.param("maybe: x", Doc(maybe="x"), id="something where nothing may be"),
        pytest.param("number: -12", Doc(number=-12), id="negative number"),
        pytest.param("number: 007", Doc(number=7), id="leading zeros"),
        pytest.param("truth: True", Doc(truth=True), id="true"),
        pytest.param("on: false", Doc(on=False), id="false"),
        pytest.param("on: FALSE", Doc(on=False), id="false in capitals"),
        pytest.param("words: [a, 1, true]", Doc(words=("a", "1", "true")), id="a list of words"),
        pytest.param("choice: green", Doc(choice="green"), id="choice"),
        pytest.param("table:", Doc(), id="an empty table"),
        pytest.param("table: {a: 1.0, 3: x}", Doc(table={"a": "1.0", "3": "x"}), id="table"),
        pytest.param("leaves: {a: {name: b, count: 3}}", Doc(leaves={"a": Leaf(name="b", count=3)}), id="nested"),
        pytest.param("either: x", Doc(either="x"), id="union: text"),
        pytest.param("either: [x]", Doc(either=("x",)), id="union: list"),
        pytest.param("either: {name: x}", Doc(either=Leaf(name="x")), id="union: keys"),
        pytest.param("either: null", Doc(either=None), id="union: nothing"),
        pytest.param("switch: true", Doc(switch=True), id="union: truth"),
        pytest.param("switch: {a: b}", Doc(switch={"a": "b"}), id="union: table"),
        pytest.param("table: &x {a: b}\nswitch: *x", Doc(table={"a": "b"}, switch={"a": "b"}), id="alias"),
        pytest.param("inner: {inner: {text: a}}", Doc(inner=Doc(inner=Doc(text="a"))), id="recursive"),
    ],
)
def test_values(text: str, value: Doc) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("texd: a", "x.yaml:1: unknown key 'texd' (did you mean 'text'?)", id="near miss"),
        pytest.param("Text: a", "x.yaml:1: unknown key 'Text' (did you mean 'text'?)", id="case"),
        pytest.param("a:\n  b: 1\n", "x.yaml:2: unknown key 'a'", id="unknown"),
        pytest.param("<<: {text: a}", "x.yaml:1: unknown key '<<'", id="merge keys are not read"),
        pytest.param("text: a\ntext: b", "x.yaml:2: duplicate key 'text', first given in line 1", id="duplicate"),
        pytest.param("? [a]\n: b", "x.yaml:1: a key must be a plain word", id="a list as a key"),
        pytest.param("text: [a]", "x.yaml:1: text: expected text", id="list for text"),
        pytest.param("text:", "x.yaml:1: text: expected text", id="nothing for text"),
        pytest.param('text: "\\ud800"', "x.yaml:1: text: expected text", id="half a surrogate pair"),
        pytest.param("number: 1.0", "x.yaml:1: number: expected a whole number", id="fraction"),
        pytest.param("number: 1_000", "x.yaml:1: number: expected a whole number", id="underscore"),
        pytest.param("number: ٣", "x.yaml:1: number: expected a whole number", id="other digits"),
        pytest.param("number: " + "9" * 5000, "x.yaml:1: number: expected a whole number", id="absurd number"),
        pytest.param("truth: yes", "x.yaml:1: truth: expected true or false", id="yes for true"),
        pytest.param("words: a", "x.yaml:1: words: expected a list", id="text for a list"),
        pytest.param("words:\n  - a\n  - {}\n", "x.yaml:3: words.1: expected text", id="item of a list"),
        pytest.param("choice: gren", "choice: expected one of green, red (did you mean 'green'?)", id="choice"),
        pytest.param("choice: [red]", "x.yaml:1: choice: expected one of green, red", id="list for a choice"),
        pytest.param("table: [a]", "x.yaml:1: table: expected keys and values", id="list for a table"),
        pytest.param("table:\n  a: {}\n", "x.yaml:2: table.a: expected text", id="value of a table"),
        pytest.param("leaves:\n  a:\n    nam: x\n", "x.yaml:3: leaves.a: unknown key 'nam'", id="key path"),
        pytest.param("leaves: {a: }", "x.yaml: Object missing required field `name`", id="missing"),
        pytest.param("switch: [a]", "x.yaml:1: switch: expected true or false or keys and values", id="union"),
        pytest.param("switch:", "x.yaml:1: switch: expected true or false", id="union without nothing"),
        pytest.param("lists: a", "x.yaml:1: lists: expected a list or keys and values", id="union of shapes"),
        pytest.param("colours: {}", "x.yaml:1: colours: expected one of red or a list", id="union with a choice"),
        pytest.param("[a]", "x.yaml:1: expected keys and values", id="list at the top"),
        pytest.param("a", "x.yaml:1: expected keys and values", id="text at the top"),
    ],
)
def test_mistakes_have_their_place(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert says in caught.value.message
    assert caught.value.hint == "see the keys"


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read("number: x\ntruth: 1\nfoo: 1\n")
    assert caught.value.message.split("\n") == [
        "x.yaml:1: number: expected a whole number",
        "x.yaml:2: truth: expected true or false",
        "x.yaml:3: unknown key 'foo'",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{", "x.yaml:1: not valid YAML", id="open brace"),
        pytest.param("a: 1\n b: 2", "x.yaml:2: not valid YAML", id="indentation"),
        pytest.param("\t- a", "x.yaml:1: not valid YAML", id="tab"),
        pytest.param("a: *b", "x.yaml:1: not valid YAML: found undefined alias", id="undefined alias"),
        pytest.param("a: 1\n---\nb: 2", "x.yaml:2: not valid YAML", id="two documents"),
        pytest.param("%YAML 3.0\n---\n", "x.yaml:1: not valid YAML", id="version of YAML"),
        pytest.param("%TAG ! !\n%TAG ! !\n--- a", "x.yaml:2: not valid YAML", id="directive twice"),
        pytest.param("a: \x00", "x.yaml: not valid YAML", id="control character"),
        pytest.param("a: \ud800", "x.yaml: not valid YAML", id="half a surrogate pair"),
        pytest.param('a: "\\UFFFFFFFF"', "x.yaml: not valid YAML", id="escape beyond numbers"),
        pytest.param('a: "\\U00110000"', "x.yaml: not valid YAML", id="escape beyond Unicode"),
        pytest.param("%YAML " + "1" * 5000 + ".1\n---\n", "x.yaml: not valid YAML", id="absurd directive"),
        pytest.param("[" * 1000, "x.yaml: not valid YAML", id="nested too deeply for YAML"),
    ],
)
def test_no_yaml(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(says)


def test_large_files_are_not_read() -> None:
    assert read("#" * yamlfile._SIZE_LIMIT) == Doc()
    with pytest.raises(ConfigError, match="characters are more than"):
        read("#" * (yamlfile._SIZE_LIMIT + 1))


def test_depth_is_bounded() -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml:1: nested too deeply"):
        read("inner: &x {inner: *x}")


def test_aliases_cannot_blow_a_file_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlfile, "_NODE_LIMIT", 1000)
    text = "table: &a\n" + "".join(f"  k{n}: v\n" for n in range(30))
    assert len(read(text + "switch: *a").table) == 30
    many = "\n".join(f"  l{n}: *x" for n in range(600))
    with pytest.raises(ConfigError, match="too much of it"):
        read(f"leaves:\n  l: &x {{name: a}}\n{many}\n")


def test_places() -> None:
    location = load(
        "leaves:\n  a:\n    name: x\n    count: 1\nwords:\n- a\n- b\n", Doc, file="x.yaml", hint="see the keys"
    )[1]
    assert location.at("leaves", "a", "count") == "x.yaml:4"
    assert location.at("leaves", "a", "other", "deeper") == "x.yaml:2"
    assert location.at("words", "1") == "x.yaml:7"
    assert location.at() == "x.yaml:1"
    assert location.at("nothing") == "x.yaml:1"
    assert Location("y.yaml", {}).at("a") == "y.yaml"


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("jupiter", ["jupyter", "ml"], " (did you mean 'jupyter'?)"),
        ("JUPYTER", ["jupyter"], " (did you mean 'jupyter'?)"),
        ("x", ["jupyter", "ml"], ""),
        ("x", [], ""),
    ],
)
def test_nearest(word: str, known: list[str], said: str) -> None:
    assert nearest(word, known) == said


_yamlish = st.text("ab:{}[]-&*!|>%#'\"\\U0 \n~?,x", max_size=40)
_tables = st.recursive(
    st.sampled_from(["a", "1", "true", "null", "~", "red", '"\\ud800"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(Doc.__struct_fields__), inner),
    max_leaves=8,
)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list) else str(value)


@given(st.text(max_size=40) | _yamlish | _tables.map(_flow))
@hypothesis(max_examples=examples(80))
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    for kind in (Doc, Settings):
        try:
            value, location = load(text, kind, file="x.yaml", hint="see the keys")
        except ConfigError as error:
            assert error.message.startswith("x.yaml")
            continue
        assert isinstance(value, kind)
        assert location.at().startswith("x.yaml")
