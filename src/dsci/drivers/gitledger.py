"""The ledger's branch: where it stands, here and on a remote, and the commit that carries it on.

What is recorded already stays as it is, so whoever records the same once more writes nothing. What the files say is
`model.ledger`'s; the branch itself is moved by a claim alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from tempfile import TemporaryDirectory

from dsci.drivers.gitprogram import FETCH, Program
from dsci.model.ledger import BRANCH, REF
from dsci.model.tree import FILE
from dsci.ports import Git

#: Who claims and records. It is fixed, so that two runners who claim the same content make the same object.
IDENTITY = "dsci <dsci@users.noreply.invalid>"


class Ledger:
    """The ledger of one repository."""

    def __init__(self, git: Git, program: Program) -> None:
        self._git = git
        self._program = program

    def here(self) -> str | None:
        """The commit that the branch names here, or None."""
        return self._commit(REF)

    def at(self, remote: str) -> str | None:
        """Where the remote's ledger stands, or None when it has none."""
        said = self._program.network("ls-remote", "--heads", "--refs", "--", remote, REF).split("\n")
        return next((line.split("\t")[0] for line in said if line.endswith(f"\t{REF}")), None)

    def fetch(self, remote: str) -> str | None:
        """Bring the remote's ledger to its tracking ref; gives the commit, or None when there is none."""
        tracking = f"refs/remotes/{remote}/{BRANCH}"
        theirs = self.at(remote)
        if theirs is None or self._commit(tracking) == theirs:
            return theirs
        self._program.network(*FETCH, "--", remote, f"+{REF}:{tracking}")
        return self._commit(tracking)

    def missing(self, ledger: str | None, record: Mapping[str, bytes]) -> dict[str, bytes]:
        """What this commit of the ledger does not hold yet. What it holds stays, whatever it says."""
        present = self._git.tree(ledger) if ledger else {}
        return {path: content for path, content in sorted(record.items()) if path not in present}

    def append(self, before: str | None, record: Mapping[str, bytes]) -> str:
        """A commit on top of the ledger that holds the record as well; the ledger itself where it holds all of it."""
        new = self.missing(before, record)
        if before and not new:
            return before
        text = self._program.text
        lines = []
        for path, content in new.items():
            oid = text("hash-object", "-w", "--stdin", stdin=content)
            lines.append(f"{FILE} {oid}\t{path}\0")
        name, _, address = IDENTITY.rstrip(">").partition(" <")
        date = f"@{self._git.head().when} +0000"
        with TemporaryDirectory(prefix="dsci-ledger-") as folder:
            # An index of its own: nothing of the user's is touched.
            own = {"GIT_INDEX_FILE": f"{folder}/index"}
            own |= {f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")}
            own |= {f"GIT_{who}_EMAIL": address for who in ("AUTHOR", "COMMITTER")}
            own |= {f"GIT_{who}_DATE": date for who in ("AUTHOR", "COMMITTER")}
            text("read-tree", before or "--empty", env=own)
            text("update-index", "-z", "--index-info", stdin="".join(lines).encode(), env=own)
            tree = text("write-tree", env=own)
            message = "\n".join(["chore: record " + ", ".join(dict.fromkeys(map(_recorded, new))), ""])
            parents = ["-p", before] if before else []
            return text("commit-tree", "--no-gpg-sign", tree, *parents, stdin=message.encode(), env=own)

    def _commit(self, name: str) -> str | None:
        """The commit that a ref names here, or None."""
        found = self._program.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
        return found.stdout.decode().strip() if found.returncode == 0 else None


def _recorded(path: str) -> str:
    """What a file records, for people: `releases/ml/1.0.0.json` is `ml 1.0.0`, any other a mark of its image."""
    folder, _, rest = path.partition("/")
    image, _, version = rest.removesuffix(".json").rpartition("/")
    return f"{image} {version}" if folder == "releases" else f"a mark of {image}"
