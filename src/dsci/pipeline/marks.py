"""Reading what people said of releases: the marks of the ledger, as far as this clone knows them or may bring them.

What they mean is `model.marks`' to say, and writing them is the affair of `holds`.
"""

from __future__ import annotations

from dsci.model import marks as marks_model
from dsci.model.claims import TagFormat
from dsci.model.ledger import BRANCH
from dsci.model.marks import Marks
from dsci.model.settings import Settings
from dsci.ports import Git


def read(git: Git, settings: Settings, form: TagFormat, *, fetch: bool = False) -> tuple[Marks, str]:
    """The marks that are known here, or with `fetch` all there are; and a warning where the remote has more.

    Raises HistoryError for a mark that cannot be read, and where the remote's cannot be fetched.
    """
    if settings.ledger == "none":
        return Marks(), ""
    commit, behind = git.ledger(fetch=fetch)
    warning = ""
    if behind:
        remote = git.remote()
        warning = (
            f"the ledger of {remote} has moved on: what was held back or yanked meanwhile is not known here"
            f" (git fetch {remote} {BRANCH})"
        )
    if commit is None:
        return Marks(), warning
    tree = git.tree(commit)
    paths = tree.under(marks_model.FOLDER)
    files = dict(zip(paths, git.contents([tree[path].oid for path in paths]), strict=True))
    return Marks.read(files).owned(form.owner), warning
