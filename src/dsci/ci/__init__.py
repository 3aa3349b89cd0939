"""CI systems' dialects, pure: what GitHub Actions and GitLab CI say of a run, and what they read of what came of it.

Nothing is read, written or drawn by lot here: environments, files' lengths, the time and random words are handed in,
and text goes out. `dsci.cli` reads and writes. Nothing of what is handed in is trusted to be well formed.

`events` reads what set a run off; `waves` are jobs. `outputs` and `outputfile`, `commands`, `annotation` and `summary`
are GitHub's; `sections`, `codequality`, `dotenv` and `containerscanning` are GitLab's. `together` makes one report of
several, `place` finds the file that a failure is of.
"""
