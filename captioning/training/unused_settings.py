"""Settings without an effect on a run: refused as flags, and said where a file has them, which may serve other runs."""

from collections.abc import Iterator
from dataclasses import asdict

from captioning.checkpoint import CheckpointInfo, read_info
from captioning.errors import CaptioningError
from captioning.record import TrainingRecord
from captioning.training.flags import TrainingSettings, all_flags
from captioning.training.settings import STAGES, StageSettings, stages_to_train


def check_used(settings: TrainingSettings) -> None:
    """Refuse flags that would have no effect, and print a line for such entries of the file.

    Raises:
        CaptioningError: a flag would have no effect.
        CheckpointError: the checkpoint to start from cannot be read.
    """
    start = read_info(settings.run.start) if settings.run.start else None
    for keys, reason in [*_unused_of_run(settings, start), *_unused_of_stages(settings, start)]:
        typed = [flag.names[0] for flag in all_flags() if flag.key in keys & settings.typed]
        if typed:
            raise CaptioningError(f"{', '.join(typed)} would have no effect, because {reason}: leave it out.")
        if written := keys & settings.written:
            print(f"In the file, {', '.join(sorted(written))} has no effect, because {reason}.")


def _unused_of_run(settings: TrainingSettings, start: CheckpointInfo | None) -> Iterator[tuple[set[str], str]]:
    """Keys of settings of the model and the run, and why they have no effect."""
    run = settings.run
    if start:
        kept = asdict(start.config)
        others = {f"model.{name}" for name, value in asdict(settings.model).items() if value != kept[name]}
        yield others, f"the model is that of {run.start}"
        words = {"min_frequency"} if run.min_frequency != start.training.min_frequency else set()
        yield words | ({"word_vectors"} if run.word_vectors else set()), f"the words are those of {run.start}"
    elif run.word_vectors:
        yield {"model.embedding_size"}, f"the words' vectors are those of {run.word_vectors}"
    if not run.graphs:
        yield {"quantize"}, "--no-graphs leaves out graphs"
    if run.find_lr:
        wanted = {name for name in ("resume", "score_test") if getattr(run, name)}
        yield wanted, "--find-lr trains nothing"


def _unused_of_stages(settings: TrainingSettings, start: CheckpointInfo | None) -> Iterator[tuple[set[str], str]]:
    """The same of the stages' settings."""
    numbers = stages_to_train(settings.stages, start.training if start else TrainingRecord())
    for number in STAGES:
        # A file has tables of all stages, whichever of them a run trains.
        keys = {flag.key for flag in all_flags() if flag.table == f"stage{number}"} & settings.typed
        if number not in settings.stages:
            yield keys, f"stage {number} is not one of --stages"
        elif number not in numbers:
            yield keys, f"{settings.run.start} has finished stage {number}"
    trained = {number: settings.stages[number] for number in numbers}
    for number, stage in trained.items():
        if stage.smallest_crop < 1 and stage.uses_cache:
            yield {f"stage{number}.smallest_crop"}, f"stage {number} reads cached features"
        if stage.bleu_reward and not stage.samples:
            yield {f"stage{number}.bleu_reward"}, f"stage {number} has no samples to reward"
    yield from _unused_shared([stage for stage in trained.values() if not stage.samples])


def _unused_shared(on_references: list[StageSettings]) -> Iterator[tuple[set[str], str]]:
    """The same of the settings of all stages, by the stages that learn from references."""
    if not on_references:
        yield {"label_smoothing", "attention_weight", "teacher_forcing"}, "self-critical training does without"
    elif all(stage.epochs == 1 and stage.teacher_forcing < 1 for stage in on_references):
        yield {"teacher_forcing"}, "it is 1 in the first epoch, and there are no more"
