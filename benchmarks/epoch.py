"""An epoch of stage 1, ours beside the reference's way, with the same model and data.

    python -m benchmarks.epoch --data ../shared/flickr8k

The reference's way (as in the best-known implementations): every caption is a row of the batch and encodes its photo
again; the features are projected for the attention at every step; all rows run to the end of the longest. Ours: cached
features, projected once a photo for all its captions; photos drop out as their captions end. Both do forward pass,
backward pass and a step of Adam on as many captions; the time of caching, once for all epochs, is printed beside them.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.reference import reference_attention
from benchmarks.report import summarised
from benchmarks.timing import HEAD, Row
from captioning import DEFAULT_CHECKPOINT
from captioning.data.batches import FeatureDataset, longest_captions, pad_collate
from captioning.data.datasets import read_dataset
from captioning.data.features import cached_features
from captioning.data.samplers import SortishSampler
from captioning.images import open_image, to_pixels
from captioning.model.model import CaptioningModel, load_model
from captioning.training.data import Split
from captioning.training.settings import StageSettings
from captioning.training.task import CaptioningTask
from captioning.vocabulary import PAD

REFERENCE_BATCH = 25


def our_epoch(task: CaptioningTask, features, captions: list[list[list[int]]]) -> float:
    """Seconds of an epoch on cached features."""
    dataset = FeatureDataset(features, captions, [False] * len(captions))
    batch_size = task.settings.batch_size
    sampler = SortishSampler(longest_captions(captions), batch_size, seed=0)
    optimizer = torch.optim.Adam(task.model.decoder.parameters(), lr=1e-4)
    started = time.perf_counter()
    for batch in DataLoader(dataset, batch_size, sampler=sampler, collate_fn=pad_collate):
        update(optimizer, lambda batch=batch: task.training_loss(batch)[0])
    return time.perf_counter() - started


def reference_epoch(model: CaptioningModel, photos: list[Path], captions: list[list[list[int]]]) -> float:
    """Seconds of an epoch in which every caption is on its own."""
    rows = [(photo, caption) for photo, group in enumerate(captions) for caption in group]
    order = torch.randperm(len(rows), generator=torch.manual_seed(0)).tolist()
    optimizer = torch.optim.Adam(model.decoder.parameters(), lr=1e-4)
    started = time.perf_counter()
    for start in range(0, len(order), REFERENCE_BATCH):
        batch = [rows[index] for index in order[start : start + REFERENCE_BATCH]]
        pixels = np.stack([to_pixels(open_image(photos[photo]), model.config.image_size) for photo, _ in batch])
        tokens = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(caption) for _, caption in batch], batch_first=True, padding_value=PAD
        )
        with torch.no_grad():
            features = model.encoder(torch.from_numpy(pixels))
        update(optimizer, lambda features=features, tokens=tokens: reference_loss(model, features, tokens))
    return time.perf_counter() - started


def reference_loss(model: CaptioningModel, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and attention penalty of captions (B, T) with a feature grid (B, L, D) each."""
    decoder = model.decoder
    features = decoder.neck(decoder.feature_dropout(features))
    hidden, cell = (layer(features.mean(dim=1)).tanh() for layer in (decoder.initial_hidden, decoder.initial_cell))
    logits, looked = [], torch.zeros(features.shape[:2])
    for step in range(tokens.shape[1] - 1):
        weights = reference_attention(decoder, features, hidden)
        context = (weights.unsqueeze(-1) * features).sum(dim=1) * decoder.gate(hidden).sigmoid()
        inputs = torch.cat([decoder.embedding(tokens[:, step]), context], dim=1)
        hidden, cell = decoder.lstm(inputs, (hidden, cell))
        logits.append(decoder.predict(hidden))
        looked = looked + weights
    stacked = torch.stack(logits, dim=1).flatten(0, 1)
    loss = functional.cross_entropy(stacked, tokens[:, 1:].flatten(), ignore_index=PAD)
    return loss + (1 - looked).square().mean()


def update(optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor]) -> None:
    """One step of training."""
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


def measure(data: Path, count: int, repeats: int) -> tuple[Row, float]:
    """Both ways on the first photos of the train split, and the seconds of caching."""
    model, info = load_model(DEFAULT_CHECKPOINT)
    dataset = read_dataset(data)
    split = Split([replace(dataset, splits={"train": dataset.split("train")[:count]})], "train")
    captions = split.ids(info.vocabulary)
    task = CaptioningTask(model, info.vocabulary, StageSettings(batch_size=40), [], {}, 1, 0).train()
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        features = cached_features(Path(cache), model, split.photos, mirror=False)
        cached = time.perf_counter() - started
        pairs = [
            (our_epoch(task, features, captions), reference_epoch(model, split.photos, captions))
            for _ in range(repeats)
        ]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [reference / our for our, reference in pairs]
    return Row(f"an epoch of stage 1, {count} photos", "the reference's way", ours, theirs, ratios), cached


def main() -> None:
    parser = summarised(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=200, help="of the train split; both ways take as many")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    row, cached = measure(arguments.data, arguments.photos, arguments.repeats)
    print(f"{HEAD}\n{row}\n\ncaching, once: {cached:.1f} s")


if __name__ == "__main__":
    main()
