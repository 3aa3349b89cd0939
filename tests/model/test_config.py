"""`dsci.yaml`: what may be said, and where a complaint points."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model import config
from dsci.model.commits import TYPES, Bump, Rules
from dsci.model.pins import Rules as PinRules
from dsci.model.quantities import seconds, size
from dsci.model.settings import (
    ImageSettings,
    InputSettings,
    LabelSettings,
    SecretSettings,
    Settings,
    SuiteSettings,
    VersioningSettings,
)
from dsci.model.tags import DEFAULT_RULES, Flavor, rules

FULL = """\
registries: [ghcr.io/acme, localhost:5000]
platforms: [linux/amd64, linux/arm64]
images:
  ml:
    context: images/ml
    dockerfile: images/ml/Dockerfile
    target: final
    platforms: [linux/amd64]
    args: {PY: 3.12}
    secrets:
      - {id: token, env: TOKEN}
      - {id: key, file: key.pem}
    inputs:
      - {path: dist, as: dist}
    needs: [tools]
    external: [python]
    repository: quay.io/other/ml
    tags: ["{version}"]
    suites: {paths: [tests/ml], inherit: false, timeout: 1h, allow: [privileged, bind-mounts]}
    labels: {title: The model}
    release: false
labels: {licenses: Apache-2.0, vendor: Acme}
versioning:
  initial: 1.0.0
  floor: none
  propagate: same
  major_on_zero: true
  tag: "{image}/v{version}"
tags: [latest]
suites: {timeout: 90s}
builder: {jobs: 4, network: none}
gate: lineage
promote: {production: [ghcr.io/prod, quay.io/prod], eu: [eu.example.com/prod]}
"""


def test_everything_can_be_said() -> None:
    settings, location = config.parse(FULL)
    assert settings.registries == ("ghcr.io/acme", "localhost:5000")
    assert settings.promote == {"production": ("ghcr.io/prod", "quay.io/prod"), "eu": ("eu.example.com/prod",)}
    assert settings.images["ml"] == ImageSettings(
        context="images/ml",
        dockerfile="images/ml/Dockerfile",
        target="final",
        platforms=("linux/amd64",),
        args={"PY": "3.12"},
        secrets=(SecretSettings(id="token", env="TOKEN"), SecretSettings(id="key", file="key.pem")),
        inputs=(InputSettings(path="dist", as_="dist"),),
        needs=("tools",),
        external=("python",),
        repository="quay.io/other/ml",
        tags=("{version}",),
        suites=SuiteSettings(paths=("tests/ml",), inherit=False, timeout="1h", allow=("privileged", "bind-mounts")),
        labels=LabelSettings(title="The model"),
        release=False,
    )
    assert settings.labels.under(settings.images["ml"].labels) == {
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "The model",
        "org.opencontainers.image.vendor": "Acme",
    }
    assert settings.labels.under(None).keys() < settings.labels.under(settings.images["ml"].labels).keys()
    assert settings.versioning == VersioningSettings(
        initial="1.0.0", floor="none", propagate="same", major_on_zero=True, tag="{image}/v{version}"
    )
    assert (settings.tags, settings.gate, settings.builder.jobs) == (("latest",), "lineage", 4)
    assert location.at("images", "ml", "secrets", "1") == "dsci.yaml:12"


def test_tags_as_the_action_has_them() -> None:
    text = (
        "tags: |\n  # all of it\n  type=semver,pattern={{version}}\n  type=sha\nflavor: {latest: false, suffix: -gpu}\n"
    )
    settings, _ = config.parse(text + "images: {ml: {flavor: {latest: 'true'}, tags: 'type=sha'}}\n")
    assert settings.flavor == Flavor(latest="false", suffix="-gpu")
    assert [rule.source for rule in rules(settings.tags, settings.flavor)] == [
        "type=semver,pattern={{version}}",
        "type=sha",
    ]
    assert (settings.images["ml"].flavor, settings.images["ml"].tags) == (Flavor(latest="true"), "type=sha")


def test_nothing_need_be_said() -> None:
    settings, _ = config.parse("")
    assert settings == Settings()
    assert settings.tags == DEFAULT_RULES
    assert (settings.gate, settings.versioning.propagate, settings.versioning.floor) == ("family", "patch", "patch")
    assert (settings.builder.jobs, settings.versioning.major_on_zero, settings.suites.timeout) == (2, False, "10m")


def test_what_builds_may_take() -> None:
    usual = config.parse("")[0].builder
    assert (usual.speculate, usual.inactivity, usual.memory, usual.min_free_disk) == (True, "15m", "1GB", "1GB")
    given = config.parse("builder: {speculate: false, inactivity: 2s, memory: 0, min_free_disk: 1.5GiB}")[0].builder
    assert (given.speculate, given.memory, given.min_free_disk) == (False, "0", "1.5GiB")


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("0B", 0), ("512kB", 512_000), ("500 MB", 500_000_000), ("1.5GiB", 3 << 29), ("2tb", 2 * 10**12)],
)
def test_sizes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "1", "MB", "-1MB", "1.GB", "1,5GB", "1e3MB", "1GBB", "1gb\n", "١MB", "1XB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        size(text)


@pytest.mark.parametrize("jobs", [1, 256])
def test_as_many_jobs_as_may_be(jobs: int) -> None:
    assert config.parse(f"builder: {{jobs: {jobs}}}")[0].builder.jobs == jobs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("registries:\n- ghcr.io/Acme\n", "dsci.yaml:2: registries.0: "),
        ("registries: [ghcr.io/acme/]", "dsci.yaml:1: registries.0: "),
        ('registries: [""]', "dsci.yaml:1: registries.0: "),
        ("registries: ['ghcr.io/acme:1']", "dsci.yaml:1: registries.0: "),
        ("platforms:\n- linux/amd64\n- arm64\n", "dsci.yaml:3: platforms: 'arm64' is not a platform"),
        ("images:\n  ml:\n    platforms: [x]\n", "dsci.yaml:3: images.ml.platforms: 'x' is not a platform"),
        ("tags: ['{ver}']", "dsci.yaml:1: tags.0: unknown field {ver}"),
        ("tags:\n- latest\n- type=sha,prefx=a\n", "dsci.yaml:3: tags.1: tag rule 'type=sha,prefx=a': sha has no attr"),
        ("tags: |\n  type=sha\n  type=shb\n", "dsci.yaml:1: tags: tag rule 'type=shb': unknown type"),
        ("tags: ['{major}', 'type=raw,value=1']", "dsci.yaml:1: tags: tag rule 'type=raw,value=1': 1 could be"),
        ("flavor: {latest: yes}", "flavor.latest: expected one of auto, false, true"),
        ("flavor: {sufix: -x}", "flavor: unknown key 'sufix' (did you mean 'suffix'?)"),
        ("flavor:\n  prefix: '{{branch}}-'\n", "dsci.yaml:1: tags.0: tag rule '{version}': {{branch}} depends"),
        (
            "images:\n  ml:\n    flavor: {prefix: '{{branch}}-'}\n",
            "dsci.yaml:3: images.ml.flavor: tag rule '{version}': {{branch}} depends",
        ),
        ("images:\n  ml:\n    tags: ['dsci-x']\n", "dsci.yaml:3: images.ml.tags.0: tag rule 'dsci-x'"),
        ("suites: {timeout: 10}", "dsci.yaml:1: suites.timeout: '10' is no duration"),
        ("suites: {check_timeout: 5}", "dsci.yaml:1: suites.check_timeout: '5' is no duration"),
        ("suites: {total_timeout: 1d}", "dsci.yaml:1: suites.total_timeout: '1d' is no duration"),
        ("suites: {disk: 5}", "dsci.yaml:1: suites.disk: '5' is no size"),
        ("suites: {memory: 5MB}", "dsci.yaml:1: suites.memory: 5MB is less than the engine takes"),
        ("suites: {processes: -1}", "dsci.yaml:1: suites.processes: -1 is no number of processes"),
        ("images: {ml: {suites: {disk: x}}}", "dsci.yaml:1: images.ml.suites.disk: 'x' is no size"),
        ("images: {ml: {suites: {total_timeout: 1h}}}", "images.ml.suites: unknown key 'total_timeout'"),
        (
            "images:\n  ml:\n    suites:\n      timeout: 0s\n",
            "dsci.yaml:4: images.ml.suites.timeout: '0s' is no duration",
        ),
        ("versioning: {initial: 1.0}", "dsci.yaml:1: versioning.initial: '1.0' is no semantic version"),
        ("versioning: {initial: v1.0.0}", "dsci.yaml:1: versioning.initial: 'v1.0.0' is no semantic version"),
        ("versioning:\n  tag: '{image}'\n", "dsci.yaml:2: versioning.tag: needs {version} once"),
        ("versioning: {tag: '{version}-{version}'}", "dsci.yaml:1: versioning.tag: needs {version} once"),
        ("builder: {jobs: 0}", "dsci.yaml:1: builder.jobs: must be 1 to 256"),
        ("builder:\n  jobs: 257\n", "dsci.yaml:2: builder.jobs: must be 1 to 256"),
        ("builder: {inactivity: 0s}", "dsci.yaml:1: builder.inactivity: '0s' is no duration"),
        ("builder:\n  memory: lots\n", "dsci.yaml:2: builder.memory: 'lots' is no size"),
        ("builder: {min_free_disk: 1000}", "dsci.yaml:1: builder.min_free_disk: '1000' is no size"),
        ("builder: {speculate: perhaps}", "dsci.yaml:1: builder.speculate: "),
        ("images: {ml: {repository: 'x:1'}}", "dsci.yaml:1: images.ml.repository: 'x:1' names a tag"),
        ("images: {ml: {repository: UP}}", "dsci.yaml:1: images.ml.repository: "),
        ("images:\n  ml:\n    secrets:\n    - id: a\n", "dsci.yaml:4: images.ml.secrets.0: give one of env and file"),
        ("images: {ml: {secrets: [{id: a, env: B, file: c}]}}", "images.ml.secrets.0: give one of env and file"),
        (
            "images:\n  ml:\n    args:\n      PIP_TOKEN: x\n",
            "dsci.yaml:4: images.ml.args.PIP_TOKEN: a secret must not be",
        ),
        (
            "images: {ml: {variants: {axes: {a: [b, c]}, args: {api_key: '{a}'}}}}",
            "images.ml.variants.args.api_key: a secret must not be",
        ),
        (
            "images: {ml: {variants: {axes: {a: [b, c]}, overrides: [{when: {a: b}, args: {DB_PASSWORD: x}}]}}}",
            "images.ml.variants.overrides.0.args.DB_PASSWORD: a secret must not be",
        ),
        ("images: {ml: {secrets: [{env: B}]}}", "dsci.yaml: Object missing required field `id`"),
        ("image: {}", "dsci.yaml:1: unknown key 'image' (did you mean 'images'?)"),
        (
            "images:\n  ml:\n    dokerfile: x\n",
            "dsci.yaml:3: images.ml: unknown key 'dokerfile' (did you mean 'dockerfile'?)",
        ),
        ("images: {ml: {}, ml: {}}", "dsci.yaml:1: images: duplicate key 'ml', first given in line 1"),
        ("versioning:\n  subject_prefix: '['\n", "dsci.yaml:2: versioning.subject_prefix is no regular expression: "),
        (
            "versioning:\n  prereleases:\n    next: rc.1\n",
            "dsci.yaml:3: versioning.prereleases.next: 'rc.1' cannot name a prerelease",
        ),
        ("versioning: {prereleases: {next: '7'}}", "versioning.prereleases.next: '7' cannot name a prerelease"),
        ("versioning: {types: {feat: huge}}", "dsci.yaml:1: versioning.types.feat: expected one of"),
        ("versioning: {propagate: minor}", "dsci.yaml:1: versioning.propagate: expected one of"),
        ("gate: [family]", "dsci.yaml:1: gate: expected one of family, lineage"),
        ("registries: ghcr.io/acme", "dsci.yaml:1: registries: expected a list"),
        ("promote:\n  production: [ghcr.io/Acme]\n", "dsci.yaml:2: promote.production.0: "),
        ("images: [ml]", "dsci.yaml:1: images: expected keys and values"),
        ("images: {ml: {release: 1}}", "dsci.yaml:1: images.ml.release: expected true or false"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_what_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert says in caught.value.message
    assert caught.value.exit_code == 2


def test_complaints_bring_a_next_step() -> None:
    for text in ("platforms: [x]", "tags: ['{x}']", "suites: {timeout: x}", "versioning: {initial: x}", "foo: 1"):
        with pytest.raises(ConfigError) as caught:
            config.parse(text)
        assert caught.value.hint


def test_another_file_name() -> None:
    with pytest.raises(ConfigError, match=r"^ci/dsci\.yaml:1: "):
        config.parse("gate: x", file="ci/dsci.yaml")


@pytest.mark.parametrize(("text", "value"), [("1s", 1), ("90s", 90), ("10m", 600), ("2h", 7200), ("010s", 10)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "s", "10", "0s", "000m", "-1s", "1.5h", "1d", "1 s", "s1", "٣s", "1ss", "9" * 400 + "s"], ids=ascii
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


def test_the_schema_knows_every_key() -> None:
    schema = config.schema()
    text = json.dumps(schema)
    assert schema["title"] == "dsci.yaml"
    assert schema["$schema"].endswith("2020-12/schema")
    for key in (*Settings.__struct_encode_fields__, *ImageSettings.__struct_encode_fields__, "as"):
        assert f'"{key}"' in text
    assert "as_" not in text
    assert '"additionalProperties": false' in text


@given(st.text("01230smh.-ab", max_size=12))
@hypothesis(max_examples=examples(60))
def test_any_duration_is_positive_or_a_value_error(text: str) -> None:
    try:
        value = seconds(text)
    except ValueError:
        return
    assert value > 0


def test_how_messages_are_read() -> None:
    yaml = "versioning: {types: {Deps: patch, perf: none}, subject_prefix: '[A-Z]+-[0-9]+: ', squash: false}"
    assert (
        config.parse("versioning: {prereleases: {next: rc, 'beta*': beta}}")[0].versioning.prereleases["next"] == "rc"
    )
    rules = config.parse(yaml)[0].versioning.rules()
    assert rules.types == {**TYPES, "deps": Bump.PATCH, "perf": Bump.NONE}
    assert rules.prefix is not None and rules.prefix.match("AB-1: x") and not rules.squash
    assert Settings().versioning.rules() == Rules(types=TYPES)


def test_what_moved_dependencies_are_worth() -> None:
    assert Settings().versioning.content.rules() == PinRules()
    text = "versioning: {content: {added: none, removed: patch, packages: {'jupyter*': strict}}}"
    rules = config.parse(text)[0].versioning.content.rules()
    assert rules == PinRules(packages={"jupyter*": "strict"}, added=Bump.NONE, removed=Bump.PATCH)
    with pytest.raises(ConfigError, match=r"dsci.yaml:1: versioning.content.packages.a: .*did you mean 'semver'"):
        config.parse("versioning: {content: {packages: {a: semvr}}}")


@pytest.mark.parametrize("text", ["provenance: true", "sbom: [spdx]", "sign: auto"])
def test_something_is_attached_where_anything_is_asked_for(text: str) -> None:
    assert config.parse(f"attest: {{{text}}}\n")[0].attest.wanted
    assert not config.parse("{}\n")[0].attest.wanted
