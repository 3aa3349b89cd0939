"""The composition root: arguments and environment in, a world of drivers out.

Everything is made lazily, so that a command touches only what it needs: `dsci plan` of a released family never speaks
to the engine. What is not light is imported where it is made, so that Git can be asked before all of it is there.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec.structs import replace

from dsci.ci import events
from dsci.cli import runner
from dsci.cli.voice import Voice
from dsci.drivers import gitprogram
from dsci.errors import BuilderError, ConfigError, RegistryError
from dsci.model.event import Event, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dsci.cli.identity import Identity
    from dsci.cli.registries import Registries
    from dsci.drivers.buildx import Buildx
    from dsci.drivers.engine import DockerEngine
    from dsci.drivers.git import GitRepository
    from dsci.drivers.keychain import Keychain
    from dsci.drivers.registry import HttpRegistry
    from dsci.drivers.runs import Run
    from dsci.model.caches import Means
    from dsci.model.facts import Request
    from dsci.model.oci import Digest, Platform
    from dsci.model.plan import Plan
    from dsci.model.reference import Reference
    from dsci.model.settings import AttestSettings, CacheType, ScanSettings
    from dsci.pipeline.remote import Remote
    from dsci.pipeline.snapshot import Source
    from dsci.pipeline.world import Hands, World
    from dsci.ports import Console, Forge, Scanner, Signer


class Session(msgspec.Struct, kw_only=True, dict=True):
    """One call of dsci."""

    folder: str
    debug: bool
    program: gitprogram.Program | None = None
    """Git, where it was asked already."""
    registries: tuple[str, ...] = ()
    branch: str = ""
    trigger: str | None = None
    reference: str = ""
    now: datetime | None = None
    fetch: bool = False
    """Whether what this clone lacks for versions may be fetched."""
    alone: bool = False
    """Whether the Git remote is not asked."""
    offline: bool = False
    """Whether neither registries nor the engine are asked."""
    lenient: bool = False
    token_file: str = ""
    """Where --registry-token-file says that a registry's token is: a file, or `-` for stdin."""

    @classmethod
    def of(cls, context: click.Context, **options: Any) -> Session:
        """The session of a command, from the group's options and its own."""
        given = {name: context.obj[name] for name in ("folder", "debug")}
        return cls(
            program=context.obj.get("git"), token_file=context.obj.get("registry_token_file") or "", **given, **options
        )

    def __enter__(self) -> Session:
        self._closing = contextlib.ExitStack()
        if runner.listens():
            for secret in runner.secrets_of(os.environ):
                self.voice.hide(secret)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @cached_property
    def state(self) -> Path:
        """dsci's folder in the user's state folder."""
        from dsci.drivers import runs

        return runs.state(os.environ)

    @property
    def measured(self) -> Path:
        """Where it is noted what this repository's targets take."""
        return self.state / "measured" / f"{self.git.root_commit()[:12]}.json"

    @cached_property
    def voice(self) -> Voice:
        """Whom the story is told."""
        return Voice(self._closing, debug=self.debug)

    @property
    def console(self) -> Console:
        """Where the story is told: a live display for a person, lines for a log."""
        return self.voice.console

    def announce(self, plan: Plan) -> None:
        """Show a plan on stderr before it is carried out. Raises BuilderError when it needs what is not there."""
        from dsci.cli import render

        self.console.say(render.plan(plan) + "\n")
        if any(item.action == "build" for item in plan.targets):
            self._buildx.check()

    @cached_property
    def git(self) -> GitRepository:
        """The repository."""
        from dsci.drivers.git import GitRepository

        repository = GitRepository(self.folder, program=self.program)
        self._closing.callback(repository.close)
        return repository

    @cached_property
    def project(self) -> str:
        """What the repository is called: by its remote, or by its folder."""
        head = self.git.head()
        name = re.split(r"[/:\\]", (head.origin or head.root).rstrip("/"))[-1]
        return name.removesuffix(".git") or "project"

    @cached_property
    def event(self) -> Event:
        """What set this run off: as the caller says, else as the CI system does, else somebody by hand."""
        event = self._read.event
        if self.reference or self.trigger:
            said = events.event({"GITHUB_REF": self.reference}, now=event.now) if self.reference else event
            trigger = Trigger(self.trigger) if self.trigger else said.trigger
            event = replace(said, trigger=trigger, foreign=event.foreign)  # Trust is not the caller's to claim.
        head = self.git.head()
        # CI systems know the branch of a detached HEAD; where one is checked out, it is that one.
        said_so = event.branch if self.reference else ""
        return replace(
            event,
            branch=self.branch or said_so or head.branch or event.branch,
            default_branch=event.default_branch or head.default_branch or "",
        )

    @cached_property
    def _read(self) -> events.Reading:
        """What the CI system says of the run."""
        now = self.now.replace(tzinfo=UTC) if self.now else datetime.now(UTC)
        return events.read(os.environ, now=int(now.timestamp()), payload=_payload())

    @cached_property
    def _noted(self) -> None:
        """What is out of the ordinary about the event, told once; what the caller says of it is no news."""
        for text in () if self.reference else self._read.notes:
            self.console.say(text)

    def request(self, **options: Any) -> Request:
        """What is wanted, beside what set the run off."""
        from dsci.model.facts import Request

        _ = self._noted
        return Request(event=self.event, **options)

    @cached_property
    def source(self) -> Source:
        """How the repository is read."""
        from dsci.model.oci import Platform
        from dsci.pipeline.snapshot import Source

        native = Platform.parse(f"linux/{os.uname().machine or 'amd64'}")
        return Source(
            git=self.git,
            project=self.project,
            platform=native,
            registries=self.registries,
            branch=self.event.branch,
        )

    def means(self, wanted: CacheType | None) -> Means:
        """What there is to keep build steps with; `wanted` is said on the command line. Raises ConfigError."""
        from dsci.model.caches import Means

        token, address = os.environ.get("ACTIONS_RUNTIME_TOKEN"), os.environ.get("ACTIONS_RESULTS_URL")
        return Means(
            wanted=wanted,
            actions=bool(token and (address or os.environ.get("ACTIONS_CACHE_URL"))),
            trusted=self.event.trigger is not Trigger.PULL_REQUEST,
            folder=str(self.caches),
        )

    @cached_property
    def caches(self) -> Path:
        """Where this repository's build caches are on this machine. Raises ConfigError for a place in the work tree."""
        from pathlib import Path

        folder = Path(os.environ.get("DSCI_CACHE_DIR") or self.state / "cache").expanduser().resolve()
        if folder.is_relative_to(Path(self.git.head().root).resolve()):
            raise ConfigError(
                f"DSCI_CACHE_DIR: {folder} is inside the repository", hint="name a folder outside the work tree"
            )
        return folder / self.git.root_commit()[:12]

    @cached_property
    def run(self) -> Run:
        """This process's run: its id, its scratch folder, its lock."""
        from dsci.drivers.runs import Run

        try:
            run = Run(self.state)
        except OSError as error:
            raise BuilderError(
                f"dsci cannot keep its state in {self.state}: {error.strerror}",
                hint="make room there, or let XDG_STATE_HOME name a folder that can be written",
            ) from None
        self._closing.callback(run.close)
        run.sweep()
        return run

    @cached_property
    def http(self) -> HttpRegistry:
        """Registries over HTTP."""
        return self._http(())

    def _http(self, insecure: tuple[str, ...]) -> HttpRegistry:
        from dsci.drivers.registry import HttpRegistry
        from dsci.drivers.routes import Network

        registry = HttpRegistry(
            keychain=self.keychain,
            network=Network.from_environment(os.environ),
            insecure=(*insecure, *self._identity.insecure),
            attempts=1 if self.lenient else 5,
            trace=self._trace,
            waits=self.console.say,
        )
        self._closing.callback(registry.close)
        return registry

    @property
    def _trace(self) -> Callable[[str], None] | None:
        """Where every request is shown, with --debug."""
        return (lambda text: click.echo(text, err=True)) if self.debug else None

    @cached_property
    def _identity(self) -> Identity:
        from dsci.cli.identity import Identity

        return Identity(self.registries, self.token_file, self.voice.hide, stranger=self._read.event.foreign)

    @property
    def keychain(self) -> Keychain:
        """Who we are to registries. Raises ConfigError for a token that cannot be read."""
        return self._identity.keychain

    @cached_property
    def docker_environment(self) -> Mapping[str, str]:
        """The environment for programs that look for credentials as the docker command does. Raises ConfigError."""
        return self._identity.environment(lambda: self.run.scratch)

    @cached_property
    def registry(self) -> Registries:
        """Every registry: the embedded one for images that were given none, HTTP for the rest."""
        from dsci.cli.registries import Registries
        from dsci.drivers.layout import LayoutRegistry

        root = self.state / "registry" / self.git.root_commit()[:12]
        return Registries(LayoutRegistry(root), lambda: self.http)

    @cached_property
    def engine(self) -> DockerEngine:
        """The Docker Engine."""
        from dsci.drivers.engine import DockerEngine

        engine = DockerEngine(os.environ, self.run, self.keychain, warn=self.console.warn)
        self._closing.callback(engine.collect, wait=True)
        return engine

    @cached_property
    def hands(self) -> Hands:
        """Whom effects are had through."""
        from dsci.drivers.hostside import HostSide
        from dsci.drivers.machine import ThisMachine
        from dsci.drivers.syft import Syft
        from dsci.pipeline.world import Hands

        # Docker Compose pulls with whatever credentials it finds.
        seen = self.docker_environment if self._read.event.foreign else os.environ
        return Hands(
            registry=self.registry,
            engine=self.engine,
            builder=self._buildx,
            builders=self._buildx.builders,
            handed=self._buildx.handed,
            machine=ThisMachine(self.run.scratch),
            host_side=HostSide(seen, self.run),
            console=self.console,
            forge=self.forge,
            nonce=self.run.nonce,
            place=events.builder(os.environ),
            lister=Syft(os.environ, self.run.scratch),
            scanner=self._scanner,
            signer=self._signer,
            # What a fork's own dsci.yaml allows is nothing that anybody here has looked at.
            host=None if self.event.foreign else os.environ,
        )

    def _scanner(self, settings: ScanSettings) -> Scanner:
        from dsci.drivers.scanner import Scanner

        return Scanner(settings, os.environ, root=self.git.head().root, scratch=self.run.scratch)

    def _signer(self, settings: AttestSettings) -> Signer:
        from dsci.drivers.cosign import Cosign

        return Cosign(
            settings,
            self.docker_environment,
            root=self.git.head().root,
            scratch=self.run.scratch,
            insecure=self._identity.insecure,
            hide=self.voice.hide,
        )

    def forge(self, kind: str) -> Forge | None:
        """The forge where release pages are. Raises ConfigError and AuthError where one is named and cannot be had."""
        if kind not in self._forges:
            self._forges[kind] = self._connect(kind)
        return self._forges[kind]

    def _connect(self, kind: str) -> Forge | None:
        from dsci.cli.forges import connect

        connected = connect(self.git.head().origin, kind, say=self.console.say, trace=self._trace)
        if connected is not None:
            self._closing.callback(connected.close)
        return connected

    @cached_property
    def _buildx(self) -> Buildx:
        from dsci.drivers.buildx import Buildx

        return Buildx(self.docker_environment, self.run, warn=self.console.warn, trusted=not self.event.foreign)

    @cached_property
    def _forges(self) -> dict[str, Forge | None]:
        return {}

    @property
    def remote(self) -> Remote:
        """What may be asked of the Git remote. Raises UsageError for what excludes itself."""
        from dsci.pipeline.remote import Remote

        if self.fetch and self.alone:
            raise click.UsageError("--fetch and --offline exclude each other.")
        return Remote.OFFLINE if self.alone else Remote.FETCH if self.fetch else Remote.ASK

    @cached_property
    def world(self) -> World:
        """Whom facts are asked of."""
        from dsci.pipeline.world import World

        return World(
            source=self.source,
            registry=self.registry if not self.offline else None,
            resolve=self.resolve if not self.offline else None,
            lenient=self.lenient or self.event.foreign,
            remote=self.remote,
            say=self.console.say,
        )

    def resolve(self, reference: Reference, wanted: Platform) -> Digest | None:
        """A base's platform manifest now: through the engine's mirrors first, then from its own registry."""
        from dsci.model.oci import OciError
        from dsci.model.reference import DOCKER_HUB, Reference, Repository
        from dsci.pipeline.bases import resolve_in

        for url in self._mirrors if reference.repository.registry == DOCKER_HUB else ():
            scheme, _, host = url.rstrip("/").rpartition("://")
            registry = self._http((host,) if scheme == "http" else ())
            with contextlib.suppress(RegistryError, OciError):
                mirrored = Reference(Repository(host, reference.repository.path), reference.tag, reference.digest)
                found = resolve_in(registry, mirrored, wanted)
                if found is not None:
                    return found
        return resolve_in(self.http, reference, wanted)

    @cached_property
    def _mirrors(self) -> tuple[str, ...]:
        try:
            return self.hands.engine.mirrors()
        except BuilderError:
            if self.lenient:
                return ()
            raise


_PAYLOAD_LIMIT = 32 << 20


def _payload() -> object:
    """GitHub's payload of the event; None where there is none, or it cannot be read."""
    place = os.environ.get("GITHUB_EVENT_PATH")
    if not place:
        return None
    import json
    from pathlib import Path

    path = Path(place)
    with contextlib.suppress(OSError, ValueError):
        if path.is_file() and path.stat().st_size <= _PAYLOAD_LIMIT:
            return json.loads(path.read_bytes())
    return None
