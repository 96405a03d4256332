"""Train a captioning model, offline.

    python train.py --data ../shared/flickr8k --config configs/flickr8k-efficientnet-lite2.toml

trains the default checkpoint's model on two CPU cores; configs/resnet101-flickr8k.toml holds the settings of the
reference implementation, for a GPU. Flags override the file. Further:

    python train.py … --resume                        go on where a run was interrupted
    python train.py … --find-lr 1                     search a learning rate for stage 1
    python train.py … --start CHECKPOINT --stages 3   the third stage alone, from a checkpoint
    python train.py … --devices 4 --num-nodes 2       on several devices (on each node, with its NODE_RANK)
"""

import argparse
import logging
import shlex
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

from captioning.arguments import Parser
from captioning.data.datasets import read_dataset
from captioning.errors import CaptioningError
from captioning.model.model import ModelConfig
from captioning.training.callbacks import Stopped
from captioning.training.run import Run, is_begun
from captioning.training.settings import StageSettings
from captioning.training.stages import Embedding, Schedule

# What the stages differ in, by the prefix of their flags; further defaults are those of the first.
STAGES = {
    "": StageSettings(),
    "stage2_": StageSettings(epochs=10, batch_size=5, learning_rate=1e-4, schedule="one-cycle", trained_blocks=3),
    "stage3_": StageSettings(epochs=5, batch_size=25, learning_rate=5e-5, samples=5),
}
TITLES = {
    "": "stage 1: encoder frozen, its features cached",
    "stage2_": "stage 2: the encoder's last blocks trained too",
    "stage3_": "stage 3: self-critical, on cached features",
}
# Settings that each stage has of its own, and those that all share.
OWN = ("epochs", "batch_size", "learning_rate", "schedule")
SHARED = ("label_smoothing", "attention_weight", "gradient_clip", "mirror", "teacher_forcing", "averaging", "patience")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of data sets, learned from as one"
    )
    parser.add_argument("--config", type=Path, help="TOML file of settings, named as the flags")
    parser.add_argument("--output", type=Path, default=Path("checkpoints/model.safetensors"))
    parser.add_argument("--run", type=Path, default=Path("runs/run"), help="folder of states, tables, plots and logs")
    parser.add_argument("--cache", type=Path, default=Path(".cache/features"), help="folder of the feature cache")
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT", help="go on from this one")
    parser.add_argument(
        "--quantize",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="give the checkpoint graphs in int8 too, where its captions stay as good",
    )
    parser.add_argument("--score-test", action="store_true", help="score the result on the test splits too")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved state")
    parser.add_argument("--save-every", type=float, default=60.0, metavar="SECONDS", help="between saved states")
    parser.add_argument("--find-lr", type=int, choices=[1, 2], metavar="STAGE", help="search a learning rate, no more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--devices", type=int, default=1, help="processes on this machine, each with a GPU or the CPU")
    parser.add_argument("--num-nodes", type=int, default=1, help="machines")
    parser.add_argument("--precision", choices=["32-true", "16-mixed", "bf16-mixed"], default="32-true")
    add_model_flags(parser)
    add_stage_flags(parser)
    return parser


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    defaults = ModelConfig()
    model.add_argument("--encoder", default=defaults.encoder, help="timm's name of a backbone")
    model.add_argument("--image-size", type=int, default=defaults.image_size)
    model.add_argument("--neck-size", type=int, help="shorten feature vectors to this length (default: as they are)")
    model.add_argument("--embedding-size", type=int, default=defaults.embedding_size)
    model.add_argument("--attention-size", type=int, default=defaults.attention_size)
    model.add_argument("--decoder-size", type=int, default=defaults.decoder_size)
    model.add_argument("--dropout", type=float, default=defaults.dropout)
    model.add_argument("--feature-dropout", type=float, default=defaults.feature_dropout)
    model.add_argument("--min-frequency", type=int, default=5, help="rarer words of the train captions become <unk>")
    model.add_argument("--word-vectors", type=Path, metavar="FILE", help="GloVe or fastText text to start words from")
    model.add_argument("--freeze-embedding", action="store_true", help="keep the word vectors as they are")


def add_stage_flags(parser: argparse.ArgumentParser) -> None:
    shared = parser.add_argument_group("all stages")
    first = STAGES[""]
    shared.add_argument(
        "--stages",
        type=int,
        nargs="+",
        choices=[1, 2, 3],
        default=[1, 2],
        help="to run, but for those that the checkpoint to start from has been through",
    )
    shared.add_argument("--label-smoothing", type=float, default=first.label_smoothing)
    shared.add_argument("--attention-weight", type=float, default=first.attention_weight, help="doubly stochastic term")
    shared.add_argument("--gradient-clip", type=float, default=first.gradient_clip)
    shared.add_argument("--mirror", action="store_true", help="train on mirror images too")
    shared.add_argument(
        "--teacher-forcing", type=float, default=first.teacher_forcing, help="its share in the last epoch"
    )
    shared.add_argument("--averaging", type=float, default=first.averaging, help="decay of the weights' moving average")
    shared.add_argument("--patience", type=int, help="stop a stage after so many epochs without a better score")
    groups = {}
    for prefix, settings in STAGES.items():
        groups[prefix] = stage = parser.add_argument_group(TITLES[prefix])
        flag = f"--{prefix.replace('_', '-')}"
        stage.add_argument(f"{flag}epochs", type=int, default=settings.epochs)
        stage.add_argument(f"{flag}batch-size", type=int, default=settings.batch_size, help="photos, on each device")
        stage.add_argument(f"{flag}learning-rate", type=float, default=settings.learning_rate)
        stage.add_argument(f"{flag}schedule", choices=["constant", "one-cycle"], default=settings.schedule)
    second, third = STAGES["stage2_"], STAGES["stage3_"]
    groups["stage2_"].add_argument(
        "--trained-blocks", type=int, default=second.trained_blocks, help="counted from the last"
    )
    groups["stage2_"].add_argument(
        "--smallest-crop", type=float, default=second.smallest_crop, help="share of a photo's area"
    )
    groups["stage3_"].add_argument("--samples", type=int, default=third.samples, help="captions drawn a photo")
    groups["stage3_"].add_argument(
        "--bleu-reward", type=float, default=third.bleu_reward, help="weight of BLEU-4 beside CIDEr-D"
    )


def read_stages(arguments: argparse.Namespace) -> dict[int, StageSettings]:
    """The settings of the stages to run, by their numbers."""
    shared = {name: getattr(arguments, name) for name in SHARED}
    special = {
        "": {},
        "stage2_": {"trained_blocks": arguments.trained_blocks, "smallest_crop": arguments.smallest_crop},
        "stage3_": {"samples": arguments.samples, "bleu_reward": arguments.bleu_reward},
    }
    return {
        number: StageSettings(**shared, **{name: getattr(arguments, prefix + name) for name in OWN}, **special[prefix])
        for number, prefix in enumerate(STAGES, start=1)
        if number in arguments.stages
    }


def read_run(arguments: argparse.Namespace) -> Run:
    """Places and devices."""
    return Run(
        output=arguments.output,
        folder=arguments.run,
        cache=arguments.cache,
        seed=arguments.seed,
        command=shlex.join(["python", "train.py", *sys.argv[1:]]),
        start=arguments.start,
        quantize=arguments.quantize,
        score_test=arguments.score_test,
        resume=arguments.resume,
        save_every=arguments.save_every,
        devices=arguments.devices,
        num_nodes=arguments.num_nodes,
        precision=arguments.precision,
    )


def read_config(parser: argparse.ArgumentParser, path: Path) -> None:
    """Make a file's settings the parser's defaults."""
    try:
        settings = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        parser.error(f"{path} cannot be read as settings ({error})")
    known = {action.dest for action in parser._actions}
    for name in settings.keys() - known:
        parser.error(f"{path} sets {name!r}, which is no setting")
    parser.set_defaults(**settings)


def main() -> int:
    parser = build_parser()
    config_only = argparse.ArgumentParser(add_help=False)
    config_only.add_argument("--config", type=Path)
    config = config_only.parse_known_args()[0].config
    if config:
        read_config(parser, config)
    arguments = parser.parse_args()
    try:
        model = ModelConfig(**{field.name: getattr(arguments, field.name) for field in fields(ModelConfig)})
        stages, run = read_stages(arguments), read_run(arguments)
    except ValueError as error:
        parser.error(str(error))
    # What it tells besides warnings is of no use here.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        datasets = [read_dataset(folder) for folder in arguments.data]
        for dataset in datasets:
            print(dataset.describe())
        schedule = Schedule(
            datasets,
            model,
            stages,
            run,
            min_frequency=arguments.min_frequency,
            embedding=Embedding(arguments.word_vectors, arguments.freeze_embedding),
        )
        if arguments.find_lr:
            rate, picture = schedule.find_learning_rate(arguments.find_lr)
            print(f"Suggested learning rate: {rate or 'none, the loss does not fall'} (see {picture})")
        else:
            schedule.train()
    except CaptioningError as error:
        print(error, file=sys.stderr)
        return 2
    except (Stopped, KeyboardInterrupt):
        resume = " --resume" if is_begun(run) and not run.resume else ""
        print(f"\nStopped, and what is done is saved. To go on: {run.command}{resume}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
