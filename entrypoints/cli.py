"""Command lines: click's types made of the options' kinds, errors in one line, and MLproject.

``python -m entrypoints.cli`` prints MLproject, and with ``reference`` docs/reference.md.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from genre_vae import options as every
from genre_vae.config import Given
from genre_vae.kinds import AUTO, Choice, Kind, Number, Several, Whole, shown
from genre_vae.records import InputError

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run

ENTRY_POINTS = (  # in the order of MLproject
    *(
        "main",
        "easy",
        "medium",
        "hard",
        "download",
        "clean",
        "features",
        "embed",
        "lyrics",
        "train",
        "sweep",
    ),
    *("cluster", "multimodal", "audit", "register", "predict", "evaluate", "compare", "visualize"),
)
HEAD = """\
# Printed by `make mlproject` from the options in genre_vae/options.py. An entry point declares the
# parameters that people set; MLflow passes any other on as it is (-P epochs=5). All of them:
# docs/reference.md, or `python -m entrypoints.<name> --help`. Each is declared `string`, and the
# entry point itself checks it and answers a wrong value in one line.
name: genre-vae

# The one form that conda, uv, virtualenv and `--env-manager local` all read.
conda_env: conda.yaml

entry_points:
"""


class OptionType(click.ParamType[Any]):
    """A kind of `genre_vae.options` as click has types; with `has_auto`, ``auto`` is None."""

    def __init__(self, kind: Kind, *, has_auto: bool) -> None:
        self.kind = kind
        self.has_auto = has_auto
        self.name = f"{AUTO}|" * has_auto + _named(kind)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self.has_auto and value == AUTO:
            return None
        try:
            if isinstance(value, str):
                value.encode("utf-8")
                return read(self.kind, value)
            return value
        except UnicodeEncodeError:
            shown_value = value.encode("utf-8", "surrogateescape").decode(
                "utf-8", "backslashreplace"
            )
            self.fail(f"{shown_value} is not UTF-8: rename it", param, ctx)
        except ValueError as error:
            self.fail(f"{error}{f', nor {AUTO!r}' if self.has_auto else ''}", param, ctx)


def _named(kind: Kind) -> str:
    if isinstance(kind, Choice):
        return "|".join(kind.names)
    if isinstance(kind, Several):
        return f"{_named(kind.of)},..."
    if isinstance(kind, Whole):
        return "|".join([*kind.words, "integer"])
    return "number" if isinstance(kind, Number) else "text"


def read(kind: Kind, text: str) -> Any:
    """The value that a text stands for; ValueError says what it should have been."""
    if isinstance(kind, Several):
        parts = [part.strip() for part in text.split(",")]
        count = len(set(parts)) if kind.distinct else len(parts)
        if not kind.least <= count <= kind.most:
            more = "" if kind.least == kind.most else " or more"
            different = " different" * kind.distinct
            raise ValueError(f"{text!r} is not {kind.least}{more}{different} values between commas")
        return tuple(read(kind.of, part) for part in parts)
    if isinstance(kind, Choice):
        return _choice(kind, text)
    if isinstance(kind, Whole):
        return _whole(kind, text)
    return _number(kind, text) if isinstance(kind, Number) else text


def _whole(kind: Whole, text: str) -> int | str:
    if text in kind.words:
        return text
    if text.isascii() and text.isdecimal() and kind.low <= int(text) <= kind.high:
        return int(text)
    nor = "".join(f", nor {word!r}" for word in kind.words)
    raise ValueError(f"{text!r} is not a whole number from {kind.low} to {kind.high}{nor}")


def _number(kind: Number, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    inside = kind.low < number if kind.above else kind.low <= number  # nan is not
    if inside and number <= kind.high:
        return number
    above = "above" if kind.above else "from"
    raise ValueError(f"{text!r} is not a number {above} {kind.low:g} to {kind.high:g}")


def _choice(kind: Choice, text: str) -> str:
    new = dict(kind.renamed).get(text)
    if new is not None:
        click.echo(f"{text!r} is called {new!r} now; the old name is still read", err=True)
        return new
    if text not in kind.names:
        raise ValueError(f"{text!r} is not one of {', '.join(kind.names)}")
    return text


class OneLineCommand(click.Command):
    """A wrong argument gets one line on standard error and exit code 2.

    Any other error is a fault, of this program or of the machine: it keeps its traceback.
    """

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **extra: Any
    ) -> NoReturn:
        try:
            code = super().main(args, **(extra | {"standalone_mode": False}))
        except click.ClickException as error:
            _refuse(error.format_message())
        except InputError as error:
            _refuse(str(error))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options by group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            field = every.options().get(str(param.name))
            record = param.get_help_record(ctx)
            if record is not None:
                group = field.metadata["group"] if field else "help"
                sections.setdefault(group, []).append(record)
        for group, records in sections.items():
            with formatter.section(f"Options: {group}"):
                formatter.write_dl(records)


def _refuse(message: str) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def entry_point(
    name: str, *options: str
) -> Callable[[Callable[[Run, Given], object]], click.Command]:
    """Make an entry point of a function: options parsed, a run opened, errors in one line.

    Parameters
    ----------
    name
        Its name, which is its module's.
    options
        The names of the options that it takes; the others keep their defaults.
    """

    def decorate(function: Callable[[Run, Given], object]) -> click.Command:
        def act(given: Given) -> None:
            # Importing MLflow makes a million objects that stay. Looking for garbage among them
            # less often, and not at all on the way out, takes a third off a run that only finds
            # finished work again.
            gc.set_threshold(100_000)
            atexit.register(gc.freeze)
            from genre_vae.tracking import run, store

            as_typed = {one: shown(getattr(given, one)) for one in options}
            try:
                with run.open_run(name, as_typed, workers=n_workers(given)) as opened:
                    function(opened, given)
            except store.Terminated:
                sys.exit(128 + 15)

        return _command(name, options, act, function.__doc__)

    return decorate


def entry_point_without_run(
    name: str, *options: str
) -> Callable[[Callable[[Given], object]], click.Command]:
    """Make an entry point, as `entry_point` does, of a function that leaves no run."""
    return lambda function: _command(name, options, function, function.__doc__)


def _command(
    name: str, options: Sequence[str], act: Callable[[Given], object], help: str | None
) -> click.Command:
    def callback(**values: Any) -> None:
        act(Given(**values, typed_in=caller_folder()))

    return OneLineCommand(
        name=name,
        callback=callback,
        help=help,
        params=[_option(one) for one in options],
        context_settings={
            "show_default": True,
            "max_content_width": 100,
            "token_normalize_func": lambda token: token.replace("-", "_"),  # --n-clusters too
        },
    )


def _option(name: str) -> click.Option:
    field = every.options()[name]
    return click.Option(
        [f"--{name}"],
        type=OptionType(field.metadata["kind"], has_auto=field.default is None),
        default=shown(field.default),
        help=field.metadata["help"],
    )


def n_workers(given: Given) -> int:
    """Processes and threads: those given, or one for each core that this process may use."""
    import joblib

    return int(joblib.cpu_count()) if given.workers is None else given.workers


def caller_folder() -> Path:
    """The folder in which the person typed the command.

    ``mlflow run`` starts its command in the project's folder; the person's is then the working
    folder of the ``mlflow`` process above this one, or where that cannot be seen, the project's.
    """
    import psutil

    if "MLFLOW_RUN_ID" not in os.environ:
        return Path.cwd()
    for process in psutil.Process().parents():
        with contextlib.suppress(psutil.Error, OSError):
            if "mlflow" in {Path(word).name for word in process.cmdline()[:3]}:
                return Path(process.cwd())
    return Path.cwd()


def mlproject() -> str:
    """The text of MLproject."""
    entries = []
    for name in ENTRY_POINTS:
        command = importlib.import_module(f"entrypoints.{name}").main
        known = every.options()
        declared = [one.name for one in command.params if known[one.name].metadata["declared"]]
        lines = [f"  {name}:", "    parameters:"]
        for one in declared:
            default = shown(known[one].default)
            lines.append(f'      {one}: {{type: string, default: "{default}"}}')
        words = " ".join(f"--{one} {{{one}}}" for one in declared)
        line = textwrap.wrap(
            f"python -m entrypoints.{name} {words}", 92, break_on_hyphens=False,
            break_long_words=False,
        )  # fmt: skip
        lines += ["    command: >-", *(f"      {part}" for part in line)]
        entries.append("\n".join(lines) + "\n")
    return HEAD + "\n".join(entries)


def reference() -> str:
    """The text of docs/reference.md: every option by group, and the entry points that take it."""
    takers: dict[str, list[str]] = {}
    for name in ENTRY_POINTS:
        for one in importlib.import_module(f"entrypoints.{name}").main.params:
            takers.setdefault(one.name, []).append(name)
    lines = [
        "# Reference: the options of every entry point",
        "",
        "Printed by `make mlproject` from `genre_vae/options.py`. An option is given as",
        "`-P name=value` to `mlflow run`, or as `--name value` to `python -m entrypoints.<name>`.",
    ]
    groups = dict.fromkeys(field.metadata["group"] for field in every.options().values())
    for group in groups:
        lines += ["", f"## {group}", "", "| option | values | default | what it does | taken by |"]
        lines += ["|---|---|---|---|---|"]
        for name in every.group(group):
            field = every.options()[name]
            kind = OptionType(field.metadata["kind"], has_auto=field.default is None).name
            default = shown(field.default) or "(empty)"
            cells = (f"`{name}`", kind, default, field.metadata["help"], ", ".join(takers[name]))
            escaped = (cell.replace("|", "\\|").replace("<", "\\<") for cell in cells)
            lines.append("| " + " | ".join(escaped) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference() if sys.argv[1:] == ["reference"] else mlproject(), end="")
