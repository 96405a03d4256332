"""Words, their order and their ids."""

import random
import re

import pytest

from captioning.data.datasets import read_dataset
from captioning.vocabulary import END, FIRST_TOKENIZER, PAD, SPECIAL_TOKENS, START, UNK, Vocabulary, tokenize

CAPTIONS = [caption.split() for caption in ["a dog runs", "a dog and a cat", "the cat sleeps", "a bird"]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A dog runs .", ["a", "dog", "runs"]),
        ('Two DOGS, one ball; "go!" (fast)', ["two", "dogs", "one", "ball", "go", "fast"]),
        ("a man's t-shirt", ["a", "man", "s", "t", "shirt"]),
        ("number 42 on a 4x4", ["number", "42", "on", "a", "4x4"]),
        ("a café in Zürich", ["a", "café", "in", "zürich"]),
        ("a cafe\u0301", ["a", "caf\u00e9"]),
        ("Собака бежит!", ["собака", "бежит"]),
        ("एक कुत्ता दौड़ता है।", ["एक", "कुत्ता", "दौड़ता", "है"]),
        ("ein Hund läuft über die Straße", ["ein", "hund", "läuft", "über", "die", "straße"]),
        ("كلب بني يجري", ["كلب", "بني", "يجري"]),
        ("개가 달린다.", ["개가", "달린다"]),
        ("สุนัข วิ่ง", ["สุ", "นั", "ข", "วิ่", "ง"]),
        ("犬が走る 🐕", ["犬", "が", "走", "る"]),
        ("一只棕色的狗，在T恤上2次。", ["一", "只", "棕", "色", "的", "狗", "在", "t", "恤", "上", "2", "次"]),
        ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("I ❤️ dogs_and—cats", ["i", "dogs", "and", "cats"]),
        ("  \t\r\n ", []),
        ("<start> a dog <unk>", ["start", "a", "dog", "unk"]),
    ],
)
def test_tokens_are_lower_case_runs_of_letters_and_digits_with_their_marks(text, tokens):
    assert tokenize(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"), [("สุนัข วิ่ง", ["สุนัข", "วิ่ง"]), ("犬 が 走る", ["犬", "が", "走る"]), ("A dog.", ["a", "dog"])]
)
def test_checkpoints_that_name_no_rule_keep_runs_of_letters_in_every_script(text, tokens):
    assert tokenize(text, FIRST_TOKENIZER) == tokens


def test_tokenizing_twice_changes_nothing():
    tokens = tokenize("The man's 2 DOGS — in the café!")
    assert tokenize(" ".join(tokens)) == tokens


@pytest.mark.parametrize(
    ("min_frequency", "words"),
    [
        (1, ["a", "cat", "dog", "and", "bird", "runs", "sleeps", "the"]),
        (2, ["a", "cat", "dog"]),
        (3, ["a"]),
        (5, []),
    ],
)
def test_holds_the_words_that_are_frequent_enough_most_frequent_first(min_frequency, words):
    assert Vocabulary.from_captions(CAPTIONS, min_frequency).words == [*SPECIAL_TOKENS, *words]


def test_does_not_depend_on_the_order_of_the_captions():
    expected = Vocabulary.from_captions(CAPTIONS, 1).words
    for seed in range(5):
        assert Vocabulary.from_captions(random.Random(seed).sample(CAPTIONS, len(CAPTIONS)), 1).words == expected


def test_known_words_come_back_and_unknown_ones_become_unk():
    vocabulary = Vocabulary.from_captions(CAPTIONS, 1)
    for caption in CAPTIONS:
        ids = vocabulary.encode(caption)
        assert (ids[0], ids[-1]) == (START, END)
        assert min(ids[1:-1]) >= len(SPECIAL_TOKENS)
        assert vocabulary.decode(ids) == caption
    assert vocabulary.encode(["a", "zebra"])[2] == UNK
    assert vocabulary.decode(vocabulary.encode(["a", "zebra"])) == ["a", "<unk>"]
    assert vocabulary.encode([]) == [START, END]


def test_decoding_stops_at_the_end_and_drops_padding():
    vocabulary = Vocabulary.from_captions(CAPTIONS, 1)
    ids = vocabulary.encode(["a", "dog"])
    assert vocabulary.decode([*ids, PAD, PAD, *ids]) == ["a", "dog"]
    assert vocabulary.decode([PAD, *ids[:-1]]) == ["a", "dog"]


def test_ids_are_places_in_the_list():
    vocabulary = Vocabulary.from_captions(CAPTIONS, 1)
    assert len(vocabulary) == len(vocabulary.words)
    assert vocabulary.encode(vocabulary.words)[1:-1] == list(range(len(vocabulary)))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a", "dog"],
        list(SPECIAL_TOKENS[:3]),
        ["<start>", "<pad>", "<end>", "<unk>", "a"],
        [*SPECIAL_TOKENS, "a", "dog", "a"],
        [*SPECIAL_TOKENS, "<pad>"],
        [*SPECIAL_TOKENS, 7],
        [*SPECIAL_TOKENS, ["a"]],
        [*SPECIAL_TOKENS, None],
        "<pad><start><end><unk>",
    ],
)
def test_refuses_a_list_that_is_no_vocabulary(words):
    with pytest.raises(ValueError, match="a vocabulary"):
        Vocabulary(words)


def test_words_that_captions_repeat_may_be_repeated_and_the_others_are_said_once():
    captions = [["a", "dog", "and", "a", "cat"], *[["a", "dog", "on", "grass"]] * 19, *[["grass", "on", "grass"]]]
    vocabulary = Vocabulary.from_captions(captions, 2)
    # "grass" stands twice in 5 % of its captions.
    assert vocabulary.repeatable == {"a", "grass"}
    said_once = [word for word, once in zip(vocabulary.words, vocabulary.once, strict=True) if once]
    assert sorted(said_once) == [*sorted(SPECIAL_TOKENS), "dog", "on"]
    assert not any(Vocabulary(vocabulary.words).once)


def test_characters_of_scripts_without_blanks_may_be_repeated():
    vocabulary = Vocabulary.from_captions([tokenize("一只狗 dog")], 1)
    assert vocabulary.repeatable == {"一", "只", "狗"}


@pytest.mark.parametrize("tokenizer", ["", None, [], "by-whim"])
def test_refuses_an_unknown_tokenizer(tokenizer):
    with pytest.raises(ValueError, match="tokenizer"):
        Vocabulary([*SPECIAL_TOKENS, "a"], tokenizer)


def test_english_captions_have_the_tokens_that_the_first_checkpoints_were_trained_with(flickr8k):
    captions = [
        caption
        for examples in read_dataset(flickr8k).splits.values()
        for example in examples
        for caption in example.captions
    ]
    assert len(captions) > 39_000
    assert all(tokenize(caption) == re.findall("[a-z0-9]+", caption.lower()) for caption in captions)
