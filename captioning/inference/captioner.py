"""A photo in, a `Caption` out."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from captioning.checkpoint import CheckpointInfo, read_info
from captioning.errors import CheckpointError, ImageError, PrefixError, shown
from captioning.hiding import Rectangle, hide
from captioning.hub import find_checkpoint
from captioning.images import PhotoSource, open_image, to_pixels
from captioning.inference.backend import Backend, EncodedPhoto
from captioning.inference.beam_search import BeamSearch
from captioning.inference.beam_tree import BeamTree, build_tree
from captioning.inference.caption import Caption, RankedCaption, Seconds, Step
from captioning.inference.options import SearchOptions
from captioning.inference.runtime import Runtime, choose_runtime, open_backend
from captioning.inference.sureness import dev_percentiles, sureness
from captioning.inference.trace import Hypothesis
from captioning.vocabulary import END, SPECIAL_TOKENS, UNK

# Photos that are encoded and searched together.
BATCH_SIZE = 32


@dataclass(frozen=True)
class EncodedPhotos:
    """Photos after the encoder, from which captions of any beam width can be searched, and what it took."""

    photos: list[EncodedPhoto]
    seconds: float


class Captioner:
    """A model ready to caption.

    The encoder runs once for a photo (`encode`), the search as often as asked on its result (`describe`);
    calling the captioner does both.

    Args:
        backend: the model.
        info: what its checkpoint says of it.
        runtime: what computes it.
    """

    def __init__(self, backend: Backend, info: CheckpointInfo, runtime: Runtime):
        self.backend, self.info, self.runtime = backend, info, runtime
        self._percentiles = dev_percentiles(info.training.datasets)

    @classmethod
    def from_checkpoint(
        cls, path: Path | str, device: str = "auto", precision: str | None = None, *, single_thread: bool = False
    ) -> "Captioner":
        """Load a checkpoint.

        Args:
            path: of the file.
            device, precision: see `choose_runtime`.
            single_thread: see `open_backend`.

        Raises:
            CheckpointError: the file is missing or not sound.
            CaptioningError: there is no such device, or the checkpoint cannot run there in this precision.
        """
        info = read_info(path)
        runtime = choose_runtime(info, device, precision)
        return cls(open_backend(info, runtime, single_thread=single_thread), info, runtime)

    @classmethod
    def from_pretrained(
        cls,
        repository: Path | str,
        device: str = "auto",
        precision: str | None = None,
        *,
        single_thread: bool = False,
    ) -> "Captioner":
        """Load a checkpoint from the Hugging Face Hub, or from a folder that `captioning push` wrote.

        Args:
            repository: see `find_checkpoint`.
            device, precision, single_thread: see `from_checkpoint`.

        Raises:
            CheckpointError: there is no such repository, or its checkpoint cannot be read or is not sound.
            CaptioningError: as of `from_checkpoint`.
        """
        return cls.from_checkpoint(find_checkpoint(repository), device, precision, single_thread=single_thread)

    def __call__(
        self, photo: PhotoSource, options: SearchOptions | None = None, *, hidden: Sequence[Rectangle] = ()
    ) -> Caption:
        """Caption one photo; in a notebook the caption shows itself.

        Args:
            photo: whatever it is given as; see `open_image`.
            options: of the search.
            hidden: rectangles that the model does not see; see `hide`.

        Raises:
            ImageError: it cannot be read.
            RectangleError: a rectangle does not lie in it.
            TypeError: it is of another type.
        """
        opened = open_image(photo)
        [caption] = self.describe(self.encode([hide(opened, hidden)]), options)
        # A file is read once, and a view of memory cannot be pickled.
        kept = opened if hasattr(photo, "read") or isinstance(photo, memoryview) else photo
        return replace(caption, photo=kept, hidden=tuple(hidden))

    def many(
        self, photos: Iterable[PhotoSource], options: SearchOptions | None = None
    ) -> Iterator[Caption | ImageError]:
        """Caption photos in batches, which are read as they are needed.

        Yields:
            In the order of the photos, a caption for each, or why it cannot be read.

        Raises:
            TypeError: the next one is of another type.
        """
        photos = iter(photos)
        while batch := [self._pixels_or_error(photo) for photo in islice(photos, BATCH_SIZE)]:
            readable = [found for found in batch if isinstance(found, np.ndarray)]
            captions = iter(self.describe(self.encode(readable), options))
            for found in batch:
                if isinstance(found, TypeError):
                    raise found
                yield found if isinstance(found, ImageError) else next(captions)

    def pixels(self, photo: Image.Image) -> np.ndarray:
        """A photo as the encoder reads it: uint8 (3, image_size, image_size)."""
        return to_pixels(photo, self.info.config.image_size)

    def encode(self, photos: Sequence[Image.Image | np.ndarray]) -> EncodedPhotos:
        """Run the encoder on photos that `open_image` gave, or on what `pixels` made of them."""
        started = time.perf_counter()
        pixels = [self.pixels(photo) if isinstance(photo, Image.Image) else photo for photo in photos]
        encoded = self.backend.encode(np.stack(pixels)) if pixels else []
        return EncodedPhotos(encoded, time.perf_counter() - started)

    def describe(
        self,
        photos: EncodedPhotos,
        options: SearchOptions | None = None,
        prefixes: Sequence[Sequence[str]] | None = None,
    ) -> list[Caption]:
        """Search the captions of encoded photos.

        Args:
            photos: from `encode`.
            options: how to search.
            prefixes: for each photo the words its caption begins with; `<end>` may be the last of several.

        Raises:
            PrefixError: a prefix has a word that the vocabulary lacks, or that cannot stand there.
            CheckpointError: the model's weights are such that its numbers overflow.
        """
        options = options or SearchOptions()
        if not photos.photos:
            return []
        started = time.perf_counter()
        trace = BeamSearch(
            self.backend, photos.photos, options, self._tokens(prefixes, options), self.info.vocabulary.once
        ).run()
        found = trace.hypotheses()
        if not all(found):
            raise CheckpointError(
                f"{shown(self.info.path.name)} computes numbers that are not finite: choose another checkpoint, "
                "or copy it again."
            )
        count = len(found)
        seconds = Seconds(photos.seconds / count, (time.perf_counter() - started) / count)
        words = self.info.vocabulary.words
        return [
            self._caption(
                hypotheses,
                seconds,
                None if prefixes and prefixes[photo] else self._sureness(hypotheses[0], options),
                build_tree(trace, photo, words) if options.keep_tree else None,
            )
            for photo, hypotheses in enumerate(found)
        ]

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Captioner cannot be copied or pickled: load it again with Captioner.from_checkpoint.")

    def _pixels_or_error(self, photo: PhotoSource) -> np.ndarray | ImageError | TypeError:
        try:
            return self.pixels(open_image(photo))
        except (ImageError, TypeError) as error:
            return error

    def _tokens(self, prefixes: Sequence[Sequence[str]] | None, options: SearchOptions) -> list[list[int]] | None:
        """Ids of the words that captions are to begin with."""
        if prefixes is None:
            return None
        vocabulary = self.info.vocabulary
        tokens = []
        for prefix in prefixes:
            ended = bool(prefix) and prefix[-1] == SPECIAL_TOKENS[END]
            words = prefix[:-1] if ended else prefix
            ids = vocabulary.encode(words)[1:] if ended else vocabulary.encode(words)[1:-1]
            for word, token in zip(words, ids, strict=False):
                if token == UNK or word in SPECIAL_TOKENS:
                    raise PrefixError(f"A caption cannot begin with “{shown(word)}”, which this model has no word for.")
            for first, second in pairwise(words):
                if first == second:
                    raise PrefixError(f"A caption does not say “{shown(first)}” twice in a row: leave one out.")
            if ended and not words:
                raise PrefixError("A caption has at least one word: let it say something before it ends.")
            if len(ids) > options.max_steps:
                raise PrefixError(f"A caption cannot begin with more than {options.max_steps} words.")
            tokens.append(ids)
        return tokens

    def _caption(
        self, hypotheses: list[Hypothesis], seconds: Seconds, sureness: float | None, tree: BeamTree | None
    ) -> Caption:
        ranked = tuple(
            RankedCaption(self._text(hypothesis), hypothesis.log_probability, hypothesis.score)
            for hypothesis in hypotheses
        )
        return Caption(self._steps(hypotheses[0]), ranked, seconds, self.runtime, sureness, tree)

    def _sureness(self, best: Hypothesis, options: SearchOptions) -> float | None:
        return sureness(best.log_probability, len(best.tokens), options.beam_size, self._percentiles)

    def _text(self, hypothesis: Hypothesis) -> str:
        return " ".join(self.info.vocabulary.decode(hypothesis.tokens))

    def _steps(self, best: Hypothesis) -> tuple[Step, ...]:
        words, grid = self.info.vocabulary.words, self.backend.grid
        probabilities = np.exp(best.token_log_probabilities).tolist()
        alternatives = np.exp(best.alternative_log_probabilities).tolist()
        return tuple(
            Step(
                word=words[token],
                probability=probabilities[index],
                attention=best.attention[index].reshape(grid).astype(np.float32),
                alternatives=tuple(
                    (words[other], probability)
                    for other, probability in zip(
                        best.alternative_tokens[index].tolist(), alternatives[index], strict=True
                    )
                    if probability > 0
                ),
                end=token == END,
            )
            for index, token in enumerate(best.tokens)
        )
