"""The command line: one module per command, assembled here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from splade_connectors.cli import (
    adopt,
    attach,
    delete,
    demo,
    detach,
    encode,
    evaluate,
    explain,
    export,
    export_model,
    groups,
    index,
    inspect,
    make_query_weights,
    printing,
    process,
    search,
    tune,
    verify,
)
from splade_connectors.errors import IndexingInterrupted, SpladeConnectorsError
from splade_connectors.runtime import signals

EXAMPLES = (
    "demo",
    "search edge:splade-demo 'why does dough rise'",
)
REFUSED = 2


class _Commands(TyperGroup):
    """Turns this package's errors into a message and an exit code before typer sees them."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """Parse the options before the command."""
        try:
            with _usage_shown():
                return super().make_context(*arguments, **more)
        except KeyboardInterrupt:
            _fail(signals.exit_code(), "stopped")

    def invoke(self, ctx: Any) -> Any:
        """Run a command and exit with its code."""
        try:
            try:
                with _usage_shown():
                    return super().invoke(ctx)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()  # while a broken pipe can still be handled
        except IndexingInterrupted as stop:
            _fail(signals.exit_code(stop), str(stop))
        except KeyboardInterrupt as stop:
            _fail(signals.exit_code(stop), "stopped")
        except SpladeConnectorsError as error:
            _fail(REFUSED, str(error), *getattr(error, "__notes__", []))
        except BrokenPipeError:
            _discard_output()  # the reader of the pipe (head, less) has exited: not an error
        except process.OutputLost as error:
            _fail_without_output(error)
        except OSError as error:
            _discard_output()
            _fail(REFUSED, str(error))


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    demo,
    encode,
    index,
    attach,
    adopt,
    search,
    explain,
    export,
    delete,
    inspect,
    verify,
    detach,
    evaluate,
    tune,
    export_model,
    make_query_weights,
)
for module in COMMANDS:
    app.command(
        module.__name__.rpartition(".")[2].replace("_", "-"),
        cls=groups.Command,
        epilog=groups.shown_examples(module.EXAMPLES),
    )(groups.expanded(module.command))


def _print_version(wanted: bool) -> None:
    if wanted:
        from splade_connectors import __version__

        print(__version__)
        raise typer.Exit


@app.callback(epilog=groups.shown_examples(EXAMPLES))
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log to stderr."),
) -> None:
    """Learned sparse search (SPLADE) for the Qdrant, Elasticsearch or OpenSearch that you run.

    A TARGET is edge:PATH (embedded), qdrant://HOST[:PORT]/COLLECTION,
    elasticsearch://HOST[:PORT]/INDEX or opensearch://HOST[:PORT]/INDEX; append +https to the
    scheme for TLS. Exit codes: 0 success, 1 some documents were rejected, 2 usage error, failed
    connection or refusal, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.
    """
    if verbose:
        process.log_to_stderr()


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code."""
    process.prepare_streams()
    given = sys.argv[1:] if arguments is None else arguments
    printing.log_in_json("--log-json" in given)
    if sys.stdout is None:
        _fail(REFUSED, "stdout is closed; redirect it to /dev/null to discard the results")
    warning = process.password_warning(given)
    if warning:
        printing.warn(warning)
    try:
        with process.escaped_warnings():
            try:
                app(arguments, prog_name="splade-connectors")
            finally:
                sys.stdout.flush()  # of --help and --version, which run no command
    except SystemExit:
        raise
    except BrokenPipeError:
        _discard_output()
    except process.OutputLost as error:
        _fail_without_output(error)
    except BaseException:  # a bug, or a library's panic: print it with control characters escaped
        if signals.arrived():  # the signal may have caused it
            _fail(signals.exit_code(), "stopped")
        printing.put_traceback(process.uncaught())
        sys.exit(REFUSED)


def _discard_output() -> None:
    """Point stdout at /dev/null, or Python would try to flush it again on exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail_without_output(error: OSError) -> NoReturn:
    _discard_output()
    _fail(REFUSED, f"cannot write to standard output: {error.strerror}")


def _fail(code: int, message: str, *notes: str) -> NoReturn:
    printing.fail(message, *notes)
    sys.exit(code)


@contextmanager
def _usage_shown() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        process.usage_shown(error)
        raise
