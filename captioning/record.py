"""The training record of a checkpoint: how the model came to be, and how well it does.

It is parsed once, where a checkpoint is read, into objects that hold in each place what belongs there. Names that are
not declared here are left out.
"""

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

# Beyond what any training writes; a page that shows the record can still be drawn.
MOST_NAMES = 40
LARGEST_INTEGER = 2**53

Integer = Annotated[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
Number = Integer | float
# An identifier, for such names become columns and headings.
Name = Annotated[str, Meta(pattern=r"\A[^\W\d]\w*\Z")]
Numbers = Annotated[dict[Name, Number], Meta(max_length=MOST_NAMES)]


class _Score(Struct):
    beam_size: Integer
    bleu: Annotated[list[Number], Meta(min_length=4, max_length=4)]
    percentiles: Annotated[list[Number], Meta(max_length=101)] = []
    seconds: Number = 0


class Score(dict[str, Any]):
    """The scores of one beam width: a row in which further measures stand beside the declared numbers."""

    @property
    def beam_size(self) -> int:
        return self["beam_size"]

    @property
    def bleu(self) -> list[float]:
        """BLEU-1 to BLEU-4, 0 to 100."""
        return self["bleu"]

    @property
    def measures(self) -> dict[str, float]:
        """All numbers but BLEU, the percentiles and the seconds that it took."""
        return {name: value for name, value in self.items() if name not in _Score.__struct_fields__}


class DataSetRecord(Struct, kw_only=True, omit_defaults=True):
    """A data set that the model learned from: how many photos its splits have, and the scores on them, by split."""

    name: str = "an unnamed data set"
    train: Integer = 0
    dev: Integer = 0
    test: Integer = 0
    scores: Annotated[dict[Name, Annotated[list[Score], Meta(max_length=20)]], Meta(max_length=MOST_NAMES)] = {}


class RunRecord(Struct, kw_only=True, omit_defaults=True):
    """What was run: the command, its seed, and the versions of the libraries."""

    command: str = ""
    seed: Integer | None = None
    versions: Annotated[dict[Name, str], Meta(max_length=MOST_NAMES)] = {}


class StageRecord(RunRecord, kw_only=True, omit_defaults=True):
    """A stage of training.

    Attributes:
        stage: its number.
        settings: its `StageSettings`, by name.
        epochs: a row of numbers for each.
        best_epoch: the one that was kept, counted from 1.
        finished: whether it has trained to its end.
    """

    stage: Integer
    settings: Annotated[dict[Name, Number | bool | str | None], Meta(max_length=MOST_NAMES)] = {}
    epochs: Annotated[list[Numbers], Meta(max_length=1000)] = []
    best_epoch: Integer | None = None
    finished: bool = False


class MeanRecord(Struct, kw_only=True, omit_defaults=True):
    """A mean of the weights of several checkpoints.

    Attributes:
        of: their names.
        shares: of each.
        command: what was typed, where it was not part of a stage.
    """

    of: Annotated[list[str], Meta(max_length=20)] = []
    shares: Annotated[list[Number], Meta(max_length=20)] = []
    command: str = ""


class TrainingRecord(RunRecord, kw_only=True, omit_defaults=True):
    """How a model came to be.

    Attributes:
        datasets: what it learned from.
        stages: of its training; each says what was run.
        min_frequency: how often a word had to occur in the train captions.
        means: of weights, in the order in which they were made; stages may have been trained from them.
        dataset, scores, mean_of, mean_share: of older records, which know one data set and one mean, of two stages with
            the share of the later; they are read as the only ones of `datasets` and `means`. What older records say
            once of all stages (`command`, `seed`, `versions`) is read as said of each.
    """

    datasets: Annotated[list[DataSetRecord], Meta(max_length=20)] = []
    stages: Annotated[list[StageRecord], Meta(max_length=MOST_NAMES)] = []
    min_frequency: Integer | None = None
    means: Annotated[list[MeanRecord], Meta(max_length=20)] = []
    mean_of: Annotated[list[str], Meta(max_length=20)] = []
    mean_share: Number = 0.5
    dataset: DataSetRecord | None = None
    scores: Annotated[dict[Name, Annotated[list[Score], Meta(max_length=20)]], Meta(max_length=MOST_NAMES)] = {}

    def __post_init__(self):
        if not self.datasets and (self.dataset or self.scores):
            self.datasets = [msgspec.structs.replace(self.dataset or DataSetRecord(), scores=self.scores)]
        self.dataset, self.scores = None, {}
        if self.mean_of:
            self.means.append(MeanRecord(of=self.mean_of, shares=[1 - self.mean_share, self.mean_share]))
        self.mean_of, self.mean_share = [], 0.5
        for stage in self.stages:
            stage.command = stage.command or self.command
            stage.seed = self.seed if stage.seed is None else stage.seed
            stage.versions = stage.versions or self.versions
        if self.stages:
            self.command, self.seed, self.versions = "", None, {}


def parse_record(text: str) -> TrainingRecord:
    """The record in a checkpoint.

    Raises:
        ValueError: it has not the shape that its readers rely on; the message says where.
        RecursionError: it is nested too deeply.
    """
    return msgspec.convert(json.loads(text), TrainingRecord, dec_hook=_read_score)


def format_record(record: TrainingRecord) -> str:
    """The record as a checkpoint holds it."""
    return json.dumps(msgspec.to_builtins(record))


def _read_score(_: type, row: Any) -> Score:
    """A row with its numbers checked, the declared ones and the others."""
    try:
        msgspec.convert(row, _Score)
        score = Score(row)
        msgspec.convert(score.measures, Numbers)
    except msgspec.ValidationError as error:
        # A plain error, to which the row's place in the record is added.
        raise ValueError(str(error)) from None
    return score
