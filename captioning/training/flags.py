"""The flags of `train.py`, the tables of its TOML files and their documentation, made from the declared settings."""

import argparse
import re
import shlex
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse

from captioning.config import ModelConfig
from captioning.errors import CaptioningError
from captioning.settings import Setting, declared
from captioning.training.settings import STAGES, RunSettings, SharedSettings, StageSettings

SHARED = {setting.name for setting in declared(SharedSettings)}
METAVARS = {int: "N", float: "X", str: "NAME", Path: "PATH"}
# Where settings stand: the tables of a file, and the groups of flags.
TITLES = {
    "": "run",
    "model": "model",
    "stages": "all stages",
    "stage1": "stage 1: the decoder, on the cached features of a frozen encoder",
    "stage2": "stage 2: the encoder's last blocks with it",
    "stage3": "stage 3: self-critical training, on cached features",
}
PAGE = """# Settings of a training run

`train.py` reads them from flags, and from a TOML file that `--config` names. A flag overrides the file. The file has
tables: `[model]`, `[stage1]`, `[stage2]` and `[stage3]`; all other settings stand before them. `--no-mirror` and so on
switch off what a file switches on. [configs/](../configs) has examples. This page is made from the declarations in
`captioning/config.py` and `captioning/training/settings.py`."""


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that a run is given: of the model, of the stages to train by their numbers, and of the run.

    Attributes:
        typed, written: keys of the settings that flags give, and that the file does.
    """

    model: ModelConfig
    stages: Mapping[int, StageSettings]
    run: RunSettings
    typed: frozenset[str] = field(default=frozenset(), compare=False)
    written: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Flag:
    """A setting as a flag and as an entry of a file.

    Attributes:
        table: of the file, "" for its top.
        setting: its declaration.
        default: its value without a flag and a file.
    """

    table: str
    setting: Setting
    default: Any

    @property
    def name(self) -> str:
        """In the file's table."""
        return self.setting.details.get("flag", self.setting.name)

    @property
    def key(self) -> str:
        """With the table."""
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def names(self) -> list[str]:
        """On the command line, the one to prefer first."""
        stage = self.setting.details.get("stage")
        names = [f"{self.table}_{self.name}"] if stage else []
        if not stage or self.table == f"stage{stage}":
            names.append(self.name)
        names += self.setting.details.get("aliases", ())
        return [f"--{name.replace('_', '-')}" for name in names]

    @property
    def help(self) -> str:
        return self.setting.details["help"]

    @property
    def shown_default(self) -> str:
        """As a file has it."""
        if self.setting.several:
            return " ".join(map(str, self.default)) or "required"
        return str(self.default).lower() if self.setting.kind is bool or self.default is None else str(self.default)

    @property
    def arguments(self) -> dict:
        """What the parser needs to know of it besides its names."""
        arguments: dict[str, Any] = {"dest": self.key, "help": f"{self.help} (default: {self.shown_default})"}
        arguments["default"] = list(self.default) if self.setting.several else self.default
        if self.setting.kind is bool:
            return {**arguments, "action": argparse.BooleanOptionalAction}
        choices = self.setting.details.get("choices")
        arguments["metavar"] = f"{{{','.join(map(str, choices))}}}" if choices else METAVARS[self.setting.kind]
        if self.setting.several:
            arguments["nargs"] = "+"
        return {**arguments, "type": self._read}

    def _read(self, given: object) -> object:
        try:
            return self.setting.read(given)
        except ValueError as error:
            raise _SettingError(str(error)) from None


class _SettingError(ValueError, argparse.ArgumentTypeError):
    """A value that a setting cannot have, as both readers of flags and of files expect it."""


class _Parser(jsonargparse.ArgumentParser):
    """A parser that says what is wrong in one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = re.sub('^(?:argument|Parser key) "?([^:"]+)"?: (?=must be)', r"\1 ", message)
        raise CaptioningError(f"{' '.join(message.split()).rstrip('.')}; see --help.")


def read_settings(arguments: Sequence[str], description: str | None) -> TrainingSettings:
    """The settings that the flags give, else the file that --config names, else the declarations.

    Args:
        arguments: what follows the command's name.
        description: of the command, for --help.

    Raises:
        CaptioningError: a setting is unknown, of another type, or out of its range.
    """
    flags = list(all_flags())
    parser = _Parser(
        prog="train.py",
        usage="python train.py --data DIR [--config FILE] [further flags]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        print_config=None,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings; flags override it")
    for group, members in _grouped(flags).items():
        titled = parser.add_argument_group(TITLES[group])
        for flag in members:
            titled.add_argument(*flag.names, **flag.arguments)
    values = parser.parse_args(arguments)
    typed, written = _keys(parser.parse_args(arguments, defaults=False)), frozenset()
    if values.config:
        try:
            tables = _read_tables(values.config, flags)
            from_file = parser.parse_object(tables)
        except CaptioningError as error:
            raise CaptioningError(f"{values.config}: {error}") from None
        written = _keys(parser.parse_object(tables, defaults=False))
        values = parser.parse_args(arguments, namespace=from_file)
    try:
        settings = _settings(values.as_dict(), flags, shlex.join(["python", "train.py", *arguments]))
    except ValueError as error:
        parser.error(str(error))
    return replace(settings, typed=typed, written=written)


def _keys(values: jsonargparse.Namespace) -> frozenset[str]:
    return frozenset(key for key, _ in values.items())


def settings_page() -> str:
    """All settings as a page of Markdown, with a table for each group."""
    lines = [PAGE]
    for group, flags in _grouped(all_flags()).items():
        lines += ["", f"## {TITLES[group].capitalize()}", "", "| flag | in the file | value | default | what it is |"]
        lines.append("|---|---|---|---|---|")
        for flag in flags:
            names = ", ".join(f"`{name}`" for name in flag.names)
            value = ("one or several, each " if flag.setting.several else "") + flag.setting.expected
            what = flag.help.replace("<unk>", "`<unk>`")
            lines.append(f"| {names} | `{flag.key}` | {value} | {flag.shown_default} | {what} |")
    return "\n".join([*lines, ""])


def all_flags() -> Iterator[Flag]:
    """Every declared setting: of the run, of the model, of all stages, of each stage."""
    for table, kind, defaults in (
        ("", RunSettings, RunSettings),
        ("model", ModelConfig, ModelConfig),
        ("", SharedSettings, SharedSettings),
        *((f"stage{number}", StageSettings, settings) for number, settings in STAGES.items()),
    ):
        for setting in declared(kind):
            if kind is not StageSettings or setting.name not in SHARED:
                yield Flag(table, setting, getattr(defaults, setting.name))


def _grouped(flags: Iterable[Flag]) -> dict[str, list[Flag]]:
    groups = defaultdict(list)
    for flag in flags:
        groups["stages" if flag.setting.name in SHARED else flag.table].append(flag)
    return groups


def _read_tables(path: Path, flags: Sequence[Flag]) -> dict:
    """A file's tables, for the parser to check."""
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaptioningError(f"it cannot be read as settings ({error}); see configs/ for examples.") from None
    _refuse_old(tables, flags)
    for name in tables.keys() & {flag.table for flag in flags}:
        if not isinstance(tables[name], dict):
            raise CaptioningError(f"{name} must be a table, [{name}]; see configs/ for examples.")
    # A single one need not be a list.
    single = {flag.name for flag in flags if flag.setting.several and not isinstance(tables.get(flag.name, []), list)}
    return {name: [value] if name in single else value for name, value in tables.items()}


def _refuse_old(tables: dict, flags: Sequence[Flag]) -> None:
    """Refuse a file without tables, in which settings have the names of flags, and say where each belongs."""
    moves = defaultdict(list)
    for flag in flags:
        for name in (name.removeprefix("--").replace("-", "_") for name in flag.names):
            if name in tables and name != flag.key:
                moves[flag.table].append(flag.name)
    if moves:
        places = [
            f"{', '.join(names)} {f'under [{table}]' if table else 'at the top'}" for table, names in moves.items()
        ]
        raise CaptioningError(f"settings stand in tables now: write {'; '.join(places)}.")


def _settings(values: dict, flags: Sequence[Flag], command: str) -> TrainingSettings:
    """The settings that the parser read, checked.

    Raises:
        ValueError: a setting is missing, of another type, or out of its range.
    """
    tables = defaultdict(dict)
    for group, members in _grouped(flags).items():
        for flag in members:
            value = values[flag.table][flag.name] if flag.table else values[flag.name]
            tables[group][flag.setting.name] = tuple(value) if flag.setting.several else value
    if not tables[""]["data"]:
        raise ValueError("the data set is missing: name its folder with --data")
    run = RunSettings(**tables[""], command=command)
    stages = {number: StageSettings(**tables["stages"], **tables[f"stage{number}"]) for number in STAGES}
    return TrainingSettings(ModelConfig(**tables["model"]), {number: stages[number] for number in run.stages}, run)
