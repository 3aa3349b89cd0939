"""How the packages of two images differ: every package of either is told of once, or is the same in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model.inventory import Inventory, Package, System
from dsci.model.packagediff import Change, How, Side, difference, normal
from dsci.model.packageorder import Reach, compare
from dsci.model.packagepairs import places

SITE = "opt/venv/lib/python3.11/site-packages"


def inventory(*packages: Package, **more: Any) -> Inventory:
    return Inventory(packages=tuple(sorted(packages)), **more)


def deb(name: str, version: str, architecture: str = "amd64") -> Package:
    return Package(kind="deb", name=name, version=version, architecture=architecture, paths=("/var/lib/dpkg/status",))


def pypi(name: str, version: str, *sites: str) -> Package:
    paths = tuple(f"/{site}/{name}-{version}.dist-info/METADATA" for site in sites or (SITE,))
    return Package(kind="pypi", name=name, version=version, paths=paths)


def conda(name: str, version: str, build: str = "py311_0", prefix: str = "opt/conda", **more: Any) -> Package:
    paths = (f"/{prefix}/conda-meta/{name}-{version}-{build}.json",)
    return Package(kind="conda", name=name, version=version, build=build, paths=paths, **more)


def r(name: str, version: str, library: str) -> Package:
    return Package(kind="cran", name=name, version=version, paths=(f"/{library}/{name}/DESCRIPTION",))


def changes(before: Iterable[Package], after: Iterable[Package]) -> tuple[Change, ...]:
    return difference(inventory(*before), inventory(*after)).changes


def told(before: Iterable[Package], after: Iterable[Package]) -> list[str]:
    """Changes in short: `upgraded numpy 1 > 2 major`."""
    return [
        " ".join(
            [
                change.how,
                change.name,
                *[side.version for side in (change.before, change.after) if side],
                *([change.reach] if change.reach else []),
            ]
        )
        for change in changes(before, after)
    ]


def test_each_sort_of_change() -> None:
    before = [deb("bash", "5.2-2"), deb("gone", "1"), deb("libc6", "2.36-9"), deb("same", "1"), pypi("numpy", "2.0")]
    after = [deb("bash", "5.2-2+b1"), deb("libc6", "1:2.35"), deb("new", "1"), deb("same", "1"), pypi("numpy", "1.9")]
    assert told(before, after) == [
        "upgraded bash 5.2-2 5.2-2+b1 other",
        "removed gone 1",
        "upgraded libc6 2.36-9 1:2.35 epoch",
        "added new 1",
        "downgraded numpy 2.0 1.9 major",
    ]
    found = difference(inventory(*before), inventory(*after))
    assert [found.count(how) for how in How] == [1, 1, 2, 1, 0]
    assert [found.count(How.UPGRADED, kind) for kind in ("deb", "pypi")] == [2, 0]
    assert found and found.complete and not found.moved
    assert found.changes[0] == Change(
        kind="deb",
        name="bash",
        how=How.UPGRADED,
        before=Side(version="5.2-2", architectures=("amd64",)),
        after=Side(version="5.2-2+b1", architectures=("amd64",)),
        reach=Reach.OTHER,
    )


def test_nothing_differs() -> None:
    one = inventory(deb("a", "1"), pypi("b", "1"), system=System(id="debian", version="12"))
    found = difference(one, one)
    assert not found and found.changes == () and found.before == found.after == one.system


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (conda("x", "1", "h1_0"), conda("x", "1", "h2_0")),
        (conda("x", "1", channel="defaults"), conda("x", "1", channel="conda-forge")),
        (conda("x", "1", architecture="noarch"), conda("x", "1", architecture="linux-64")),
        (deb("x", "1", "all"), deb("x", "1", "amd64")),
        (pypi("x", "1"), pypi("x", "1.0")),
    ],
)
def test_the_same_version_of_another_build(before: Package, after: Package) -> None:
    (change,) = changes([before], [after])
    assert change.how is How.REBUILT and change.reach is None and change.before != change.after


def test_what_is_no_other_package() -> None:
    before = [Package(kind="pypi", name="X.y", version="1", license="MIT", supplier="a", source="s", paths=("/a/b",))]
    after = [Package(kind="pypi", name="x-Y", version="1", paths=("/c/b",))]
    assert changes(before, after) == ()


def test_names_are_those_that_the_tool_looks_up() -> None:
    assert normal("pypi", "Ruamel_.yaml--X") == "ruamel-yaml-x"
    assert normal("conda", "R-Base_x") == "r-base_x"
    assert normal("cran", "R6") == "R6"
    assert told([pypi("typing_extensions", "4.1")], [pypi("Typing.Extensions", "4.2")]) == [
        "upgraded Typing.Extensions 4.1 4.2 minor"
    ]
    assert told([r("R6", "1.0", "l")], [r("r6", "1.0", "l")]) == ["removed R6 1.0", "added r6 1.0"]


def test_architectures_that_move_alike_are_one_change() -> None:
    before = [deb("libc6", "1"), deb("libc6", "1", "i386")]
    (change,) = changes(before, [deb("libc6", "2"), deb("libc6", "2", "i386")])
    assert change.after == Side(version="2", architectures=("amd64", "i386")) and change.several
    assert told(before, [deb("libc6", "2"), deb("libc6", "3", "i386")]) == [
        "upgraded libc6 1 2 major",
        "upgraded libc6 1 3 major",
    ]
    (change,) = changes(before, [deb("libc6", "1")])
    assert change.how is How.REMOVED and change.before == Side(version="1", architectures=("i386",)) and change.several


def test_an_architecture_that_changes_beside_one_that_does_not() -> None:
    before = [deb("x", "1", "all"), deb("x", "1", "i386")]
    assert [(c.how, c.before and c.before.architectures, c.after and c.after.architectures) for c in changes(
        before, [deb("x", "2", "amd64"), deb("x", "2", "i386")]
    )] == [(How.UPGRADED, ("all",), ("amd64",)), (How.UPGRADED, ("i386",), ("i386",))]  # fmt: skip


def test_each_environment_is_held_against_itself() -> None:
    one, two = "opt/a/lib/python3.11/site-packages", "opt/b/lib/python3.11/site-packages"
    before = [pypi("numpy", "1.0", one), pypi("numpy", "2.0", two)]
    assert told(before, [pypi("numpy", "2.0", one, two)]) == ["upgraded numpy 1.0 2.0 major"]
    (change,) = changes(before, [pypi("numpy", "2.0", two)])
    assert (change.how, change.before) == (How.REMOVED, Side(version="1.0", places=(f"/{one}",)))
    (change,) = changes([pypi("numpy", "1.0", one, two)], [pypi("numpy", "1.1", one, two)])
    assert change.after == Side(version="1.1", places=(f"/{one}", f"/{two}")) and change.several


def test_an_environment_whose_python_moved_is_the_same_one() -> None:
    before = [pypi("x", "1", "a/lib/python3.11/site-packages"), pypi("x", "2", "b/lib/python3.11/site-packages")]
    after = [pypi("x", "1", "a/lib/python3.12/site-packages"), pypi("x", "3", "b/lib/python3.12/site-packages")]
    assert told(before, after) == ["upgraded x 2 3 major"]


def test_what_moved_elsewhere_is_found_there() -> None:
    assert changes([r("a", "1", "usr/lib/R/library")], [r("a", "1", "opt/r")]) == ()
    assert told([r("a", "1", "x"), r("a", "2", "y")], [r("a", "2", "z"), r("a", "3", "w")]) == ["upgraded a 1 3 major"]
    assert told([pypi("x", "1", "a")], [pypi("x", "2", "b"), pypi("x", "3", "c")]) == [
        "added x 2",
        "upgraded x 1 3 major",
    ]


def test_several_versions_at_one_place() -> None:
    def kernel(version: str) -> Package:
        return Package(kind="rpm", name="kernel", version=version, architecture="x86_64", paths=("/var/lib/rpm/x",))

    assert told([kernel("1-1"), kernel("2-1")], [kernel("2-1"), kernel("3-1")]) == ["upgraded kernel 1-1 3-1 major"]
    assert told([kernel("1-1")], [kernel("1-1"), kernel("2-1")]) == ["added kernel 2-1"]
    assert told([kernel("1-1"), kernel("2-1")], [kernel("10-1")]) == [
        "removed kernel 1-1",
        "upgraded kernel 2-1 10-1 major",
    ]


def test_lists_of_the_system_have_no_place() -> None:
    moved = Package(kind="apk", name="musl", version="1-r0", paths=("/usr/lib/apk/db/installed",))
    assert changes([Package(kind="apk", name="musl", version="1-r0", paths=("/lib/apk/db/installed",))], [moved]) == ()
    egg = Package(kind="pypi", name="six", version="1", paths=("/usr/lib/python3/dist-packages/six.egg-info",))
    assert places(egg) == {"/usr/lib/python3/dist-packages"}
    assert places(Package(kind="pypi", name="six", version="1")) == {""}


def test_what_conda_installed_is_told_once() -> None:
    site = "opt/conda/lib/python3.11/site-packages"
    other = "opt/conda/envs/e/lib/python3.11/site-packages"
    before = [conda("ruamel.yaml", "1.0"), pypi("ruamel-yaml", "1.0", site)]
    after = [conda("ruamel.yaml", "1.1"), pypi("ruamel.yaml", "1.1", site)]
    assert told(before, after) == ["upgraded ruamel.yaml 1.0 1.1 minor"]
    before = [conda("numpy", "1.0"), pypi("numpy", "1.0", site, other)]
    after = [conda("numpy", "1.1"), pypi("numpy", "1.1.0", site), pypi("numpy", "1.0", other)]
    assert told(before, after) == ["upgraded numpy 1.0 1.1 minor"]
    # What pip put over it, or beside it, is told as what it is.
    assert told(
        [conda("numpy", "1.0"), pypi("numpy", "1.0", site)], [conda("numpy", "1.0"), pypi("numpy", "2.0", site)]
    ) == ["added numpy 2.0"]
    assert told([conda("numpy", "1.0")], [conda("numpy", "1.0"), pypi("numpy", "1.0", other)]) == ["added numpy 1.0"]
    bare = Package(kind="pypi", name="numpy", version="1.0")
    assert told([conda("numpy", "1.0")], [conda("numpy", "1.0"), bare]) == ["added numpy 1.0"]


DEBIAN = System(id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)")


def test_the_point_release_of_debian() -> None:
    before = inventory(deb("base-files", "12.4+deb12u4"), system=DEBIAN)
    after = inventory(deb("base-files", "12.5+deb12u5"), deb("adduser", "3.134"), system=DEBIAN)
    found = difference(before, after)
    assert found.moved
    assert (found.before and found.before.version, found.after and found.after.version) == ("12.4", "12.5")


@pytest.mark.parametrize(
    ("package", "system"),
    [
        (deb("base-files", "12.4"), System(id="ubuntu", version="12")),
        (deb("base-files", "13.1"), DEBIAN),
        (deb("base-files", "rolling"), DEBIAN),
        (deb("base-passwd", "12.4"), DEBIAN),
        (pypi("base-files", "12.4"), DEBIAN),
    ],
)
def test_no_point_release_where_none_is_told(package: Package, system: System) -> None:
    assert difference(inventory(package, system=system), inventory(package)).before == system


def test_a_distribution_that_is_unknown_is_another_one() -> None:
    found = difference(inventory(), inventory(system=DEBIAN))
    assert found and found.moved and not found.changes


def test_what_was_not_read_is_said() -> None:
    found = difference(inventory(unread=("/b", "/a", "/a")), inventory())
    assert (found.complete, found.unread_before, found.unread_after) == (False, ("/a", "/b"), ())
    assert not difference(inventory(), inventory(unread=("/a",))).complete


PACKAGES = st.lists(
    st.one_of(
        st.builds(
            deb,
            st.sampled_from("ab"),
            st.sampled_from(["1", "2", "1.0", "1:1"]),
            st.sampled_from(["amd64", "i386", "all"]),
        ),
        st.builds(
            lambda name, version, sites: pypi(name, version, *sites),
            st.sampled_from(["x", "X", "y"]),
            st.sampled_from(["1", "1.0", "2", "3"]),
            st.lists(
                st.sampled_from(
                    [
                        "a/lib/python3.11/site-packages",
                        "a/lib/python3.12/site-packages",
                        "b",
                        "opt/conda/lib/python3.11/site-packages",
                    ]
                ),
                min_size=1,
                max_size=3,
                unique=True,
            ),
        ),
        st.builds(conda, st.sampled_from("xz"), st.sampled_from(["1", "2"]), st.sampled_from(["h0", "h1"])),
    ),
    max_size=8,
    unique=True,
)


def stock(packages: Iterable[Package]) -> Counter[tuple[str, ...]]:
    """What stands where; without the Python side of what conda has, which its record stands for."""
    owned = {(p.name.lower(), p.version) for p in packages if p.kind == "conda"}
    return Counter(
        {
            (p.kind, normal(p.kind, p.name), p.version, p.build, p.architecture, place)
            for p in packages
            for place in places(p)
            if not (
                p.kind == "pypi"
                and place == "/opt/conda/lib/python3.11/site-packages"
                and any(p.name.lower() == name and compare("pypi", p.version, version) == 0 for name, version in owned)
            )
        }
    )


@given(PACKAGES, PACKAGES)
@hypothesis(max_examples=examples(600), deadline=None)
def test_nothing_is_lost_and_nothing_told_twice(before: list[Package], after: list[Package]) -> None:
    found = changes(before, after)
    old, new = stock(before), stock(after)
    for change in found:
        for side, there in ((change.before, old), (change.after, new)):
            for architecture in (side.architectures or ("",)) if side else ():
                for place in side.places or ("",):
                    key = (change.kind, normal(change.kind, change.name), side.version, side.build, architecture, place)
                    assert there[key] == 1, (key, there)
                    there[key] -= 1
    # What is left is the same on both sides, wherever it stands.
    assert Counter(key[:-1] for key in old.elements()) == Counter(key[:-1] for key in new.elements())
    assert all(change.before != change.after for change in found)
    for change in found:
        direction = (
            compare(change.kind, change.before.version, change.after.version)
            if change.before and change.after
            else None
        )
        assert (
            change.how
            == {None: How.REMOVED if change.before else How.ADDED, -1: How.UPGRADED, 0: How.REBUILT, 1: How.DOWNGRADED}[
                direction
            ]
        )
        assert (change.reach is not None) == (direction in (-1, 1))


@given(PACKAGES, PACKAGES)
@hypothesis(max_examples=examples(200), deadline=None)
def test_the_way_back_tells_the_opposite(before: list[Package], after: list[Package]) -> None:
    turned = {
        How.ADDED: How.REMOVED,
        How.REMOVED: How.ADDED,
        How.UPGRADED: How.DOWNGRADED,
        How.DOWNGRADED: How.UPGRADED,
    }
    there, back = changes(before, after), changes(after, before)
    assert Counter(turned.get(change.how, change.how) for change in there) == Counter(change.how for change in back)
    assert changes(before, before) == ()
    assert changes(before[::-1], after[::-1]) == there
