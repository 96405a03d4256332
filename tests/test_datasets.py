"""The published layouts, with the warts that they have in the wild."""

import itertools
import json

import pytest

from captioning.data.datasets import SPLITS, read_dataset
from captioning.errors import DatasetError
from tests.helpers import make_photos, refused

NAMES = [f"photo{number}.jpg" for number in range(16)]


@pytest.fixture
def kaggle(tmp_path):
    """The Kaggle edition: a folder of photos and one CSV file."""
    make_photos(tmp_path / "Images", NAMES)
    lines = [f"{name},{text}" for name in NAMES for text in ("A dog runs .", "A brown dog .")]
    (tmp_path / "captions.txt").write_text("\n".join(["image,caption", *lines]))
    return tmp_path


@pytest.fixture
def published(tmp_path):
    """Flickr8k as it was published: three photos, one in each split."""
    make_photos(tmp_path / "Flicker8k_Dataset", NAMES[:3])
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    (text / "Flickr8k.token.txt").write_text("".join(f"{name}#{n}\tA dog .\n" for name in NAMES[:3] for n in range(2)))
    for split, name in zip(SPLITS, NAMES, strict=False):
        (text / f"Flickr_8k.{split}Images.txt").write_text(f"{name}\n")
    return tmp_path


def karpathy_image(name: str, split: str, *sentences: dict, **further) -> dict:
    return {"filename": name, "split": split, "sentences": list(sentences), **further}


def write_karpathy(folder, images: list[dict], name: str = "dataset_flickr8k.json") -> None:
    (folder / name).write_text(json.dumps({"images": images, "dataset": "flickr8k"}))


def names(dataset) -> dict[str, list[str]]:
    return {split: [example.photo.name for example in examples] for split, examples in dataset.splits.items()}


def test_the_real_flickr8k_comes_whole(flickr8k):
    dataset = read_dataset(flickr8k)
    assert {split: len(examples) for split, examples in dataset.splits.items()} == {
        "train": 5993,
        "dev": 1000,
        "test": 1000,
    }
    photos = {split: {example.photo for example in dataset.split(split)} for split in SPLITS}
    assert all(len(photos[split]) == len(dataset.split(split)) for split in SPLITS)
    assert not any(one & other for one, other in itertools.combinations(photos.values(), 2))
    assert all(photo.is_file() for split in SPLITS for photo in photos[split])
    for example in itertools.chain.from_iterable(dataset.splits.values()):
        assert len(example.captions) == 5
        assert not any({"\r", "\n", "\t"} & set(caption) for caption in example.captions)
    # Four listed photos, 92 that stand in no list, and one under a name with a suffix.
    assert (dataset.without_photo, dataset.without_captions) == (97, 0)
    assert "5,993 / 1,000 / 1,000" in dataset.describe()


def test_the_kaggle_edition_is_split_by_the_names_alone(kaggle):
    dataset = read_dataset(kaggle)
    splits = names(dataset)
    assert {split: len(found) for split, found in splits.items()} == {"train": 12, "dev": 2, "test": 2}
    assert sorted(itertools.chain.from_iterable(splits.values())) == sorted(NAMES)
    assert all(example.captions == ("A dog runs .", "A brown dog .") for example in dataset.split("train"))
    lines = (kaggle / "captions.txt").read_text().splitlines()
    (kaggle / "captions.txt").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    assert names(read_dataset(kaggle)) == splits


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_commas_and_quotes_in_kaggle_captions_are_the_captions_own(kaggle, line_end):
    lines = ["image,caption"]
    for name in NAMES:
        lines += [f'{name},"A dog , a cat , and a ""bird"" ."', f"{name},A dog , unquoted .", f"{name},Grün ."]
    (kaggle / "captions.txt").write_bytes(("﻿" + line_end.join(lines)).encode())
    for example in read_dataset(kaggle).split("train"):
        assert example.captions == ('A dog , a cat , and a "bird" .', "A dog , unquoted .", "Grün .")


def test_karpathy_restval_counts_as_train_and_filepath_is_a_folder(tmp_path):
    make_photos(tmp_path / "train2014", ["one.jpg"])
    make_photos(tmp_path / "val2014", ["two.jpg", "three.jpg", "four.jpg"])
    raw = {"raw": "A dog, running.", "tokens": ["a", "dog", "running"]}
    images = [
        karpathy_image("one.jpg", "train", raw, {"raw": "Two."}, filepath="train2014", cocoid=7),
        karpathy_image("two.jpg", "restval", {"tokens": ["a", "red", "bus"]}, filepath="val2014"),
        karpathy_image("three.jpg", "val", raw, filepath="val2014"),
        karpathy_image("four.jpg", "test", raw, filepath="val2014"),
    ]
    write_karpathy(tmp_path, images, "dataset_coco.json")
    dataset = read_dataset(tmp_path)
    assert (dataset.name, dataset.key) == ("COCO", "coco")
    assert names(dataset) == {"train": ["one.jpg", "two.jpg"], "dev": ["three.jpg"], "test": ["four.jpg"]}
    assert [example.captions for example in dataset.split("train")] == [("A dog, running.", "Two."), ("a red bus",)]


@pytest.mark.parametrize("folder", ["", "Images", "images", "Flicker8k_Dataset", "flickr30k-images"])
def test_karpathy_photos_are_found_where_people_keep_them(tmp_path, folder):
    make_photos(tmp_path / folder, NAMES[:1])
    write_karpathy(tmp_path, [karpathy_image(NAMES[0], "test", {"raw": "A dog."})])
    assert names(read_dataset(tmp_path))["test"] == NAMES[:1]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_published_layout_reads_alike_whatever_its_line_ends(published, line_end):
    expected = read_dataset(published)
    for path in (published / "Flickr8k_text").iterdir():
        path.write_bytes(path.read_text().replace("\n", line_end).encode())
    assert read_dataset(published) == expected
    assert names(expected) == {"train": NAMES[:1], "dev": NAMES[1:2], "test": NAMES[2:3]}


def test_what_has_no_photo_or_no_caption_is_left_out_and_counted(published):
    text = published / "Flickr8k_text"
    make_photos(published / "Flicker8k_Dataset", ["silent.jpg", "dots.jpg"])
    with (text / "Flickr8k.token.txt").open("a") as file:
        file.write("gone.jpg#0\tA cat .\nelsewhere.jpg.1#0\tA cat .\ndots.jpg#0\t. . .\n\nno tab in this line\n")
    with (text / "Flickr_8k.trainImages.txt").open("a") as file:
        file.write("\ngone.jpg\nsilent.jpg\ndots.jpg\n")
    dataset = read_dataset(published)
    assert names(dataset)["train"] == NAMES[:1]
    assert (dataset.without_photo, dataset.without_captions) == (2, 2)
    assert "left out: 2 without a photo, 2 without a caption" in dataset.describe()


def test_an_empty_split_is_refused_only_when_asked_for(tmp_path):
    make_photos(tmp_path, NAMES[:1])
    write_karpathy(tmp_path, [karpathy_image(NAMES[0], "test", {"raw": "A dog."})])
    dataset = read_dataset(tmp_path)
    assert len(dataset.split("test")) == 1
    with refused(DatasetError, "train"):
        dataset.split("train")


def test_a_folder_without_captions_is_refused(tmp_path):
    with refused(DatasetError, "missing"):
        read_dataset(tmp_path / "missing")
    with refused(DatasetError, str(tmp_path), "holds no captions"):
        read_dataset(tmp_path)
    make_photos(tmp_path / "Images", NAMES)
    with refused(DatasetError, str(tmp_path), "holds no captions"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "photo0.jpg,A dog .",
        'image,caption\nphoto0.jpg,"A quote that never ends\n' + "photo1.jpg,A dog .\n" * 9999,
        "image,caption\n",
        "image,caption\nelsewhere.jpg,A dog .\n",
    ],
    ids=["empty", "no header", "open quote", "header only", "other photos"],
)
def test_a_kaggle_file_without_sense_is_refused(kaggle, text):
    (kaggle / "captions.txt").write_text(text)
    with refused(DatasetError, str(kaggle)):
        read_dataset(kaggle)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"images": [{"filename": "photo0.jpg", "spl',
        "[]",
        "{}",
        '{"images": 7}',
        '{"images": []}',
        '{"images": [null]}',
        '{"images": [{"filename": "photo0.jpg", "split": "train"}]}',
        '{"images": [{"filename": "photo0.jpg", "split": "training", "sentences": [{"raw": "A dog."}]}]}',
        '{"images": [{"filename": "photo0.jpg", "split": "train", "sentences": [{"raw": 7}]}]}',
        '{"images": [{"filename": 7, "split": "train", "sentences": [{"raw": "A dog."}]}]}',
        '{"images": [{"filename": "photo0.jpg", "split": "train", "sentences": [{}]}]}',
        "[" * 100_000,
    ],
)
def test_a_karpathy_file_without_sense_is_refused(tmp_path, text):
    make_photos(tmp_path, NAMES[:1])
    (tmp_path / "dataset_flickr8k.json").write_text(text)
    with refused(DatasetError, str(tmp_path)):
        read_dataset(tmp_path)


def test_a_photo_listed_twice_is_refused(published, tmp_path):
    listing = published / "Flickr8k_text" / "Flickr_8k.testImages.txt"
    listing.write_text(f"{NAMES[2]}\n{NAMES[0]}\n")
    with refused(DatasetError, NAMES[0], "twice"):
        read_dataset(published)
    write_karpathy(tmp_path, [karpathy_image("a.jpg", split, {"raw": "A dog."}) for split in ("train", "test")])
    with refused(DatasetError, "a.jpg", "twice"):
        read_dataset(tmp_path)


def test_a_missing_list_is_refused(published):
    (published / "Flickr8k_text" / "Flickr_8k.devImages.txt").unlink()
    with refused(DatasetError, "Flickr_8k.devImages.txt"):
        read_dataset(published)
