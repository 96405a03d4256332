"""Words and their ids."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, START, END, UNK = range(4)
SPECIAL_TOKENS = ("<pad>", "<start>", "<end>", "<unk>")
NEVER_GENERATED = (PAD, START, UNK)
# No language has longer words; what is longer would break every place where words are shown.
LONGEST_WORD = 100

# A word that stands twice in at least this share of the captions that have it may be said again.
REPEATED = 0.05

# Names of the rules by which `tokenize` splits text, as checkpoints have them: that of those which name none, whose
# words are runs of letters in every script, and that of new ones.
FIRST_TOKENIZER, TOKENIZER = TOKENIZERS = ("unicode-words", "unicode-words-and-characters")
# Scripts that are written without blanks: Thai, Lao, Tibetan, Burmese, Khmer; Japanese and Chinese.
_WITH_MARKS = "".join(map(chr, [*range(0x0E00, 0x10A0), *range(0x1780, 0x1800)]))
_WITHOUT_MARKS = (
    r"\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)


class _WordCharacters(dict):
    """A table for `str.translate`: letters, combining marks and digits stay, all else becomes a blank."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LMN" else " "
        return self[code]


_WORD_CHARACTERS = _WordCharacters()


def _of_category(category: str, characters: str) -> str:
    return "".join(each for each in characters if unicodedata.category(each)[0] in category)


# A character of such a script with the marks above, below and after it; some choose among the looks of a character.
_CHARACTER = re.compile(
    f"[{_of_category('LN', _WITH_MARKS)}{_WITHOUT_MARKS}]"
    f"[{_of_category('M', _WITH_MARKS)}\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef]*"
)


def tokenize(text: str, tokenizer: str = TOKENIZER) -> list[str]:
    """The words of a text: NFC, lower case, runs of letters of any script and digits, each with its combining marks.

    Punctuation is dropped, as in the Karpathy splits. Of scripts that are written without blanks (Chinese, Japanese,
    Thai, Lao, Burmese, Khmer, Tibetan) every character is a word.

    Args:
        text: a caption.
        tokenizer: one of TOKENIZERS; by the first of them, such scripts need words that are separated by blanks.
    """
    text = unicodedata.normalize("NFC", text.lower()).translate(_WORD_CHARACTERS)
    if tokenizer != FIRST_TOKENIZER and not text.isascii():
        text = _CHARACTER.sub(r" \g<0> ", text)
    # Marks alone, such as the one after a heart that asks for its emoji, are not a word.
    return [word for word in text.split() if any(map(str.isalnum, word))]


class Vocabulary:
    """A list of words, each word's index its id; the four special tokens come first.

    Args:
        words: the list.
        tokenizer: one of TOKENIZERS, by which captions were split into these words.
        repeatable: of the words, those that a caption may say more than once; None if all.

    Raises:
        ValueError: the list does not begin with the special tokens, or a word occurs twice, is not a string, or
            cannot be printed between two spaces; or there is no such tokenizer.
    """

    def __init__(self, words: Sequence[str], tokenizer: str = TOKENIZER, repeatable: Iterable[str] | None = None):
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"a vocabulary's tokenizer is {' or '.join(TOKENIZERS)}")
        if tuple(words[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary begins with {', '.join(SPECIAL_TOKENS)}")
        if not all(isinstance(word, str) for word in words):
            raise ValueError("a vocabulary holds strings only")
        if not all(0 < len(word) <= LONGEST_WORD and word.isprintable() and " " not in word for word in words):
            raise ValueError(f"a vocabulary holds words of 1 to {LONGEST_WORD} characters that can be printed")
        self.words, self.tokenizer = list(words), tokenizer
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError("a vocabulary holds each word once")
        self.repeatable = None if repeatable is None else self._ids.keys() & repeatable
        # Of each word, whether a caption says it once at most.
        self.once = [self.repeatable is not None and word not in self.repeatable for word in self.words]

    @classmethod
    def from_captions(cls, captions: Iterable[Sequence[str]], min_frequency: int) -> "Vocabulary":
        """The words that occur at least `min_frequency` times in captions of `tokenize`, most frequent first."""
        captions = list(captions)
        counts = Counter(word for caption in captions for word in caption if len(word) <= LONGEST_WORD)
        frequent = [word for word, count in counts.items() if count >= min_frequency]
        frequent.sort(key=lambda word: (-counts[word], word))
        return cls([*SPECIAL_TOKENS, *frequent]).with_repeatable(captions)

    def with_repeatable(self, captions: Iterable[Sequence[str]]) -> "Vocabulary":
        """The same words, of which those may be repeated that are in captions of `tokenize`, by REPEATED.

        Characters of scripts without blanks always may, for they are parts of words.
        """
        found, repeated = Counter(), Counter()
        for caption in captions:
            counts = Counter(caption)
            found.update(counts.keys())
            repeated.update(word for word, count in counts.items() if count > 1)
        words = {word for word in self._ids.keys() & repeated.keys() if repeated[word] >= REPEATED * found[word]}
        return Vocabulary(self.words, self.tokenizer, words | set(filter(_CHARACTER.fullmatch, self.words)))

    def __len__(self) -> int:
        return len(self.words)

    def repeats(self, words: Iterable[str]) -> bool:
        """Whether words of the vocabulary are none that a search finds: one is said again that is said once at most."""
        said_once = [word for word in words if self.once[self._ids[word]]]
        return len(said_once) > len(set(said_once))

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
