"""The application: global options, and errors as one line and an exit code."""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from aftershock._client import Client
from aftershock._errors import (
    AftershockError,
    ConfigurationError,
    NotAllowed,
    ServerFailure,
    ServiceError,
    Unavailable,
)

EXIT_CODES: Mapping[type[AftershockError], int] = {
    ConfigurationError: 2,
    AftershockError: 3,
    NotAllowed: 4,
    Unavailable: 5,
    ServerFailure: 6,
}
"""By error class; a subclass without an entry takes its nearest base's."""

_EPILOG = (
    "Exit codes: 0 done, 1 a person said no, or doctor, audit verify, policy check or lineage "
    "check found something wrong, 2 wrong usage, 3 refused, 4 not allowed, 5 unavailable just now, "
    "6 a service failed."
)


PLUGINS = "aftershock.commands"
"""Group of entry points that add a command, each a Typer application. `drill` is a command of
`aftershock`, `policy.train` one of `aftershock policy`."""


class _Extensible(TyperGroup):
    """Takes in commands of other packages."""

    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted(_plugins(self.prefix))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        plugin = _plugins(self.prefix).get(cmd_name)
        return super().get_command(ctx, cmd_name) if plugin is None else _loaded(plugin)


class _PolicyCommands(_Extensible):
    prefix = "policy."


class _Commands(_Extensible):
    """Prints what the SDK raises as one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AftershockError as error:
            typer.echo(f"aftershock: {describe(error)}", err=True)
            code = next(EXIT_CODES[cls] for cls in type(error).__mro__ if cls in EXIT_CODES)
            raise typer.Exit(code) from None


def _plugins(prefix: str) -> dict[str, EntryPoint]:
    """Return the plugins of one group of commands, by the name of the command in it."""
    found = {plugin.name: plugin for plugin in entry_points(group=PLUGINS)}
    return {
        name.removeprefix(prefix): plugin
        for name, plugin in found.items()
        if name.rpartition(".")[0] == prefix.rstrip(".")
    }


def _loaded(plugin: EntryPoint) -> Any:
    """Return the command, or one that says that what it needs is not installed here."""
    try:
        commands: typer.Typer = plugin.load()
    except ImportError as error:
        commands = typer.Typer()
        commands.command(plugin.name, help="Not installed here.")(_missing(plugin, str(error)))
    return typer.main.get_command(commands)


def _missing(plugin: EntryPoint, why: str) -> Callable[[], None]:
    called = plugin.name.replace(".", " ")

    def refuse() -> None:
        raise ConfigurationError(
            f"'aftershock {called}' is not installed here ({why}): run it from a checkout of "
            "Aftershock, after 'make setup'"
        )

    return refuse


app = typer.Typer(
    cls=_Commands,
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

checkpoint_app = typer.Typer(no_args_is_help=True)
app.add_typer(checkpoint_app, name="checkpoint", help="Look into one checkpoint.")

audit_app = typer.Typer(no_args_is_help=True)
app.add_typer(
    audit_app,
    name="audit",
    help="Look for labels that could hijack models; verify the record of who did what.",
)

policy_app = typer.Typer(cls=_PolicyCommands, no_args_is_help=True)
app.add_typer(policy_app, name="policy", help="Try policies before they decide.")

lineage_app = typer.Typer(no_args_is_help=True)
app.add_typer(lineage_app, name="lineage", help="What feeds what, and what shifts spread along.")

AsJson = Annotated[bool, typer.Option("--json", help="Print the contract's JSON, not tables.")]


def describe(error: AftershockError) -> str:
    """Return an error as one line: what is wrong, in which field, why, and when to try again."""
    line = str(error)
    if not isinstance(error, ServiceError):
        return line
    fields = [v.field for v in error.violations if v.field and v.field not in line]
    if fields:
        line += f" (in {', '.join(fields)})"
    if error.reason:
        line += f" [{error.reason}]"
    if error.retry_after is not None:
        line += f"; try again in {error.retry_after:g} s"
    return line


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("aftershock"))
        raise typer.Exit


@app.callback()
def connect(
    context: typer.Context,
    *,
    address: Annotated[str | None, typer.Option(help="host:port of one endpoint for all.")] = None,
    attribution: Annotated[str | None, typer.Option(help="host:port, if on its own.")] = None,
    aggregator: Annotated[str | None, typer.Option(help="host:port, if on its own.")] = None,
    runbook: Annotated[str | None, typer.Option(help="host:port, if on its own.")] = None,
    audit: Annotated[str | None, typer.Option(help="host:port, if on its own.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a call may take.")] = 10.0,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Find which feature broke, and mend it.

    Addresses that are not given come from AFTERSHOCK_ADDRESS, or one by one from
    AFTERSHOCK_ATTRIBUTION_ADDRESS, AFTERSHOCK_AGGREGATOR_ADDRESS, AFTERSHOCK_RUNBOOK_ADDRESS and
    AFTERSHOCK_AUDIT_ADDRESS.
    """
    context.obj = context.with_resource(
        Client(
            address,
            attribution=attribution,
            aggregator=aggregator,
            runbook=runbook,
            audit=audit,
            timeout=timeout,
        )
    )


def client_of(context: typer.Context, model: str | None = None) -> Client:
    """Return the client that the global options describe, about `model` if one is given."""
    client: Client = context.obj
    client._model = model
    return client
