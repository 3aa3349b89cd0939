"""What commits are worth together: reverts, merges, fixups, and why each counts or does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from builders import commit
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.commits import Bump, Change, Commit, read
from dsci.model.weigh import held, taken_back, weigh


def history(*messages: str, merges: Sequence[tuple[str, ...]] = ()) -> list[Change]:
    """A line of commits, newest first; `{0}` in a message is the sha of the oldest, and so on."""
    made: list[Commit] = []
    for n, message in enumerate(reversed(messages)):
        shas = [one.sha for one in made]
        made.append(commit(message.format(*shas), sha=f"{n:02x}" * 20, parents=shas[-1:]))
    return [read(one) for one in reversed(made)]


def told(changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [(str(item.bump), item.why) for item in weigh(changes, changes)]


def reverting(*shas: str) -> str:
    return 'Revert "x"\n\n' + "\n".join(f"This reverts commit {sha}." for sha in shas)


@pytest.mark.parametrize(
    ("message", "bump", "why"),
    [
        ("feat: a", "minor", "feat"),
        ("fix!: a", "major", "breaking fix"),
        ("docs: a", "none", "docs asks for no release by itself"),
        ("wip", "none", "not conventional: its content counts, its message does not"),
        ("fixup! feat: a", "none", "a fixup that was not squashed: its content counts, its message does not"),
        ("docs: a\n\n* feat: b", "minor", "feat, squashed into it"),
        ("docs: a\n\n* feat!: b", "major", "breaking feat, squashed into it"),
        (reverting("1234567"), "patch", "takes back 1234567, which is released"),
        ("revert: it\n\nRefs: abcdef0", "patch", "takes back abcdef0, which is released"),
        ('Reapply "feat: a"\n\nThis reverts commit 1234567.', "minor", "feat"),
    ],
)
def test_one_commit(message: str, bump: str, why: str) -> None:
    assert told(history(message)) == [(bump, why)]


def test_a_merge_is_not_counted_twice() -> None:
    (merged,) = weigh([], [read(commit("Merge branch 'x'", parents=["a" * 40, "b" * 40]))])
    assert (merged.bump, merged.noted) == (Bump.NONE, False)
    (titled,) = weigh([], [read(commit("feat: x (#1)", parents=["a" * 40, "b" * 40]))])
    assert (titled.bump, titled.noted) == (Bump.MINOR, True)


def test_a_revert_and_what_it_reverts_cancel_each_other() -> None:
    changes = history(reverting("{0}"), "feat: a")
    assert told(changes) == [
        ("none", "takes back 0000000, which was not released yet"),
        ("none", "taken back by 0101010 before it was released"),
    ]
    assert not any(item.noted for item in weigh(changes, changes))


def test_a_revert_of_a_revert_brings_it_back() -> None:
    changes = history(reverting("{1}"), reverting("{0}"), "feat: a")
    assert [bump for bump, _ in told(changes)] == ["none", "none", "minor"]


def test_abbreviated_ids_must_mean_one_commit() -> None:
    ids = ["a" * 40, "a" * 7 + "b" * 33]
    asking = commit(f"revert: x\n\nRefs: {'a' * 7}", sha="c" * 40)
    changes = [read(one) for one in (asking, *(commit("feat: a", sha=sha) for sha in ids))]
    assert taken_back(changes) == {}
    assert len(taken_back(changes[:2])) == 2


def test_a_revert_of_more_than_what_is_unreleased_needs_a_release() -> None:
    assert told(history(reverting("{0}", "fedcba9"), "feat: a"))[0][0] == "patch"


def test_no_commit_reverts_itself() -> None:
    assert taken_back([read(commit(reverting("c" * 40), sha="c" * 40))]) == {}


def test_a_reverted_merge_takes_back_what_it_brought() -> None:
    root, main, topic = (commit(f"feat: {n}", sha=n * 40) for n in "abc")
    main = commit("feat: main", sha="b" * 40, parents=["a" * 40])
    topic = commit("feat!: topic", sha="c" * 40, parents=["a" * 40])
    merged = commit("Merge branch 'topic'", sha="d" * 40, parents=["b" * 40, "c" * 40])
    back = commit(reverting("d" * 40), sha="e" * 40, parents=["d" * 40])
    taken = taken_back([read(one) for one in (back, merged, topic, main, root)])
    assert sorted(sha[0] for sha in taken) == ["c", "d", "e"]


def reachable(start: str, known: Mapping[str, Commit]) -> frozenset[str]:
    """What a walk from this commit meets."""
    if start not in known:
        return frozenset()
    return frozenset([start]).union(*(reachable(parent, known) for parent in known[start].parents))


def test_who_holds_a_commit() -> None:
    parents = {"d": "bc", "c": "a", "b": "a", "a": "x", "e": "d"}
    known = {name: commit("x", sha=name, parents=above) for name, above in parents.items()}
    everyone = {"a": 0b11, "b": 0b11, "c": 0b01, "d": 0b01, "e": 0}
    assert held(["d", "b", "x"], [known[name] for name in "edcba"]) == everyone
    # A clock that went wrong: parents come before their children, some of them twice told.
    assert held(["d", "b", "x"], [known[name] for name in "abcde"]) == everyone
    assert held(["d", "b", "x"], [known[name] for name in "edbac"]) == everyone


@given(st.permutations(range(5)))
def test_the_order_of_unrelated_commits_does_not_matter(order: list[int]) -> None:
    changes = history("feat: a", "fix: b", "wip", "docs!: c", "perf: d")
    shuffled = [changes[n] for n in order]
    assert sorted(told(changes)) == sorted(told(shuffled))


@given(
    st.lists(st.sets(st.integers(0, 9), max_size=3), min_size=1, max_size=10),
    st.lists(st.integers(0, 12), max_size=4),
    st.randoms(use_true_random=False),
)
def test_who_holds_a_commit_is_found_in_one_pass(parents: list[set[int]], starts: list[int], chance: Random) -> None:
    """The same as asking for each start, for any graph, in any order; `parents[n]` are among the commits before n."""
    known = {
        str(n): commit("x", sha=str(n), parents=[str(each) for each in sorted(above) if each < n])
        for n, above in enumerate(parents)
    }
    named = [str(start) for start in starts]
    coming = list(known.values())
    chance.shuffle(coming)
    found = held(named, coming)
    assert found == held(named, reversed(known.values()))
    for n, start in enumerate(named):
        assert {sha for sha, bits in found.items() if bits >> n & 1} == reachable(start, known)


def test_what_a_merge_brought_is_met_once() -> None:
    """The topic forked and was merged within itself before it came here."""
    shape = {"a": "", "b": "a", "c": "a", "d": "c", "e": "c", "f": "de", "m": "bf"}
    made = {
        name: commit(f"feat: {name}", sha=name * 40, parents=[parent * 40 for parent in above])
        for name, above in shape.items()
    }
    back = commit(reverting("m" * 40).replace("m" * 40, "a1" * 20), sha="9" * 40, parents=["m" * 40])
    merged = commit("Merge", sha="a1" * 20, parents=made["m"].parents)
    taken = taken_back([read(one) for one in (back, merged, *reversed(made.values()))])
    assert sorted(sha[:2] for sha in taken) == ["99", "a1", "cc", "dd", "ee", "ff"]
