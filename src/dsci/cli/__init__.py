"""The command line: the only place that reads arguments, the environment and the clock, and that prints and exits.

Each group of commands is a module of its own, imported when it is called. Whatever goes wrong below arrives here as a
`DsciError` and leaves as one paragraph that ends in what to do; a traceback is shown with --debug only.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import types
from typing import Any

import click

from dsci import __version__
from dsci.errors import DsciError

_COMMANDS = {
    "attest": "dsci.cli.attest:attest",
    "build": "dsci.cli.work:build",
    "cache": "dsci.cli.cache:cache",
    "changelog": "dsci.cli.changelog:changelog",
    "ci": "dsci.cli.ci:ci",
    "diff": "dsci.cli.diff:diff",
    "export": "dsci.cli.export:export",
    "gc": "dsci.cli.gc:gc",
    "inventory": "dsci.cli.inventory:inventory",
    "ledger": "dsci.cli.ledger:ledger",
    "lint": "dsci.cli.lint:lint",
    "lock": "dsci.cli.lock:lock",
    "login": "dsci.cli.login:login",
    "matrix": "dsci.cli.matrix:matrix",
    "plan": "dsci.cli.plan:plan",
    "promote": "dsci.cli.promote:promote",
    "release": "dsci.cli.work:release",
    "rollback": "dsci.cli.holds:rollback",
    "schema": "dsci.cli.schema:schema",
    "shell": "dsci.cli.shell:shell",
    "tags": "dsci.cli.version:tags",
    "test": "dsci.cli.work:test",
    "unhold": "dsci.cli.holds:unhold",
    "verify": "dsci.cli.verify:verify",
    "version": "dsci.cli.version:version",
    "why": "dsci.cli.plan:why",
    "yank": "dsci.cli.holds:yank",
}

#: Those that ask Git for versions whatever their options say.
_OF_VERSIONS = {"changelog", "matrix", "plan", "tags", "version", "why"}
_HELP = ("-h", "--help")

#: What a shell shows for a program that was ended by Ctrl-C, and what we end with.
_INTERRUPTED = 130
_TERMINATED = 143
_BROKEN_PIPE = 141
_INTERNAL = 70


class _Commands(click.Group):
    """Commands by name; a module is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        import importlib

        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"no such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        if args and args[0] in _OF_VERSIONS and not set(args) & set(_HELP):
            from dsci.cli import early

            early.begin(ctx, ctx.params["folder"])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whoever read our output may go before it ends (`dsci plan | head`)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Python must not try to flush into the pipe at exit, and click must not take this for a failure.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(nowhere, stream.fileno())
            sys.exit(_BROKEN_PIPE)


@click.group(cls=_Commands, context_settings={"help_option_names": list(_HELP), "max_content_width": 100})
@click.version_option(__version__, prog_name="dsci", message="%(prog)s %(version)s")
@click.option("-C", "folder", metavar="DIR", default=".", help="Work on the repository DIR is in.")
@click.option("--debug", is_flag=True, help="Show tracebacks and every registry request.")
@click.pass_context
def cli(context: click.Context, folder: str, debug: bool) -> None:
    """Build, test, version and publish a family of container images from one Git repository.

    Versions come from Git history, images are built only when their inputs changed, and what was tested is what is
    tagged. `dsci plan` shows what would happen and why; `dsci release` does it.
    """
    context.ensure_object(dict).update(folder=folder, debug=debug)


def main() -> None:
    """Run, and turn every failure into a message and an exit code."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job
        signal.signal(signal.SIGINT, _stop)
    atexit.register(_deaf)
    _spare_the_collector()
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DsciError as error:
        if debug:
            raise
        _complain(error.message, error.hint or error.next_step)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted", "run the same command again: it goes on where this one stopped")
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        _complain(
            f"dsci itself failed: {type(error).__name__}: {error}",
            "this is a bug: please report it with what `dsci --debug` prints",
        )
        sys.exit(_INTERNAL)


def _complain(message: str, hint: str) -> None:
    from dsci.cli.console import complain

    complain(message, hint)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from dsci.ci.commands import error

        click.echo(error(message, hint), err=True)


#: Signals that came so far. A CI system that cancels a job sends several, a person presses Ctrl-C again.
_stops: list[int] = []
_PATIENCE = 3


#: How many new objects call for the collector of cycles; Python's own 700 call for it dozens of times in a short run.
_NEW_OBJECTS = 50_000


def _spare_the_collector() -> None:
    """Let a short run make its values, and end, without a search for cycles among all that it has imported.

    What is there at the end is given back with the process.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def _deaf() -> None:
    """At the very end Python puts the default handlers back: one more Ctrl-C would change our exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, _frame: types.FrameType | None) -> None:
    """SIGTERM or Ctrl-C: the first ends the run like an exception does, so that everything is cleaned up.

    Later ones do not disturb the cleaning up, but the third Ctrl-C ends dsci where it stands.
    """
    _stops.append(number)
    if len(_stops) == 1:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(_TERMINATED)
    if _stops.count(signal.SIGINT) >= _PATIENCE:
        os._exit(_INTERRUPTED)
