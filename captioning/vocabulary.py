"""Words and their ids."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, START, END, UNK = range(4)
SPECIAL_TOKENS = ("<pad>", "<start>", "<end>", "<unk>")
NEVER_GENERATED = (PAD, START, UNK)
# No language has longer words; what is longer would break every place where words are shown.
LONGEST_WORD = 100

# The name of the rule by which `tokenize` splits text. Checkpoints without one were trained with ASCII letters alone.
TOKENIZER = "unicode-words"


class _WordCharacters(dict):
    """A table for `str.translate`: letters, combining marks and digits stay, all else becomes a blank."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LMN" else " "
        return self[code]


_WORD_CHARACTERS = _WordCharacters()


def tokenize(text: str) -> list[str]:
    """The words of a text: NFC, lower case, runs of letters of any script and digits, each with its combining marks.

    Punctuation is dropped, as in the Karpathy splits. A script without blanks needs captions whose words have been
    separated by blanks.
    """
    words = unicodedata.normalize("NFC", text.lower()).translate(_WORD_CHARACTERS).split()
    # Marks alone, such as the one after a heart that asks for its emoji, are no word.
    return [word for word in words if any(map(str.isalnum, word))]


class Vocabulary:
    """A list of words, each word's index its id; the four special tokens come first.

    Raises:
        ValueError: the list does not begin with the special tokens, or a word occurs twice, is no string, or is none
            that can be printed between two spaces.
    """

    def __init__(self, words: Sequence[str]):
        if tuple(words[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary begins with {', '.join(SPECIAL_TOKENS)}")
        if not all(isinstance(word, str) for word in words):
            raise ValueError("a vocabulary holds strings only")
        if not all(0 < len(word) <= LONGEST_WORD and word.isprintable() and " " not in word for word in words):
            raise ValueError(f"a vocabulary holds words of 1 to {LONGEST_WORD} characters that can be printed")
        self.words = list(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError("a vocabulary holds each word once")

    @classmethod
    def from_captions(cls, captions: Iterable[Sequence[str]], min_frequency: int) -> "Vocabulary":
        """The words that occur at least `min_frequency` times in the tokenized captions, most frequent first."""
        counts = Counter(word for caption in captions for word in caption if len(word) <= LONGEST_WORD)
        frequent = [word for word, count in counts.items() if count >= min_frequency]
        frequent.sort(key=lambda word: (-counts[word], word))
        return cls([*SPECIAL_TOKENS, *frequent])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of a tokenized caption, between <start> and <end>; words not in the vocabulary become <unk>."""
        return [START, *(self._ids.get(token, UNK) for token in tokens), END]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of a caption up to its <end>, without special tokens."""
        words = []
        for index in ids:
            if index == END:
                break
            if index not in (PAD, START):
                words.append(self.words[index])
        return words
