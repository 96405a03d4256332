"""Data sets as their publishers and their owners keep them, each read or refused with the reason."""

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from captioning.data.datasets import SPLITS, read_dataset
from captioning.errors import DatasetError
from tests.helpers import refused

# Photos by number, as each publisher names them.
F8K = [f"{number}_693b08cb0e.jpg" for number in range(1000268201, 1000268209)]
F30K = [f"{number}.jpg" for number in range(1000092795, 1000092803)]
OWN = [f"{number}.jpg" for number in range(1, 9)]
COCO14 = [f"COCO_{split}2014_{number:012}.jpg" for split in ("train", "val") for number in (9, 25, 30, 34)]
COCO17 = [f"{number:012}.jpg" for number in (139, 285, 632, 724, 776, 785, 802, 872)]
# Splits of eight photos: how many there are in each.
BY_NAME, THREE = (6, 1, 1), (4, 2, 2)
HEADER = "image,caption"


def in_(folder: str, names: Iterable[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def table(names: Iterable[str], header: str = HEADER, row: str = "{},A dog runs .\n{},Two dogs , running .") -> str:
    return "\n".join([header, *(row.format(*[name] * row.count("{}")) for name in names)]) + "\n"


def tokens(names: Iterable[str], text: str = "A child in a pink dress .") -> str:
    return "".join(f"{name}#{number}\t{text}\n" for name in names for number in range(5))


def f8k_text(place: str = "Flickr8k_text", names: list[str] = F8K) -> dict[str, str]:
    parts = {"train": names[:4], "dev": names[4:6], "test": names[6:]}
    lists = {f"{place}/Flickr_8k.{split}Images.txt": "\n".join(part) + "\n" for split, part in parts.items()}
    extra = {f"{place}/Flickr8k.lemma.token.txt": tokens(names), f"{place}/readme.txt": "If you use the Flickr 8k"}
    return {f"{place}/Flickr8k.token.txt": tokens(names), **lists, **extra}


def karpathy(names: list[str], split: str = "val", folder: str | None = None) -> str:
    splits = ["train", "train", "train", "restval", split, split, "test", "test"]
    images = [
        {"sentids": [at], "imgid": at, "filename": name, "split": part, "sentences": [{"raw": "A dog.", "sentid": at}]}
        | ({"filepath": folder} if folder else {})
        for at, (name, part) in enumerate(zip(names, splits, strict=True))
    ]
    return json.dumps({"images": images, "dataset": "x"})


def coco(names: Iterable[str]) -> str:
    images = [{"license": 3, "file_name": name, "id": at, "height": 8, "width": 8} for at, name in enumerate(names)]
    said = [{"image_id": at // 2, "id": at, "caption": "A woman in a kitchen. "} for at in range(2 * len(images))]
    return json.dumps({"info": {}, "images": images, "licenses": [], "annotations": said})


def coco_year(year: int, names: list[str], place: str = "annotations/") -> dict[str, str]:
    halves = {"train": names[:4], "val": names[4:]}
    files = {f"{place}captions_{split}{year}.json": coco(half) for split, half in halves.items()}
    return files | {f"{place}instances_{split}{year}.json": "{}" for split in halves}


def json_lines(names: Iterable[str], **further: object) -> str:
    return "".join(json.dumps({"file_name": name, "text": "A dog.", **further}) + "\n" for name in names)


F30K_ROW = '{}| 0| Two young guys , "shaggy" hair .\n{}| 1| "Two men" in green .'
F30K_BROKEN = f"{F30K[0]}| 4   A dog runs across the grass .\n"
F30K_TABLE = table(F30K, "image_name| comment_number| comment", F30K_ROW)
OWN_SPLIT = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
WITH_SPLIT = "\n".join(f"{name},A dog .,{split}" for name, split in zip(OWN, OWN_SPLIT, strict=True))
HF_FOLDERS = {"train": OWN[:4], "validation": OWN[4:6], "test": OWN[6:]}
HF = {f"{split}/metadata.jsonl": json_lines(names) for split, names in HF_FOLDERS.items()}
HF_PHOTOS = [photo for split, names in HF_FOLDERS.items() for photo in in_(split, names)]
UPPER = [name.replace(".jpg", ".JPG") for name in OWN]

READ = {
    "flickr8k as published": (f8k_text(), in_("Flicker8k_Dataset", F8K), THREE),
    "flickr8k spelled right": (f8k_text(), in_("Flickr8k_Dataset", F8K), THREE),
    "flickr8k nested": (f8k_text(), in_("Flickr8k_Dataset/Flicker8k_Dataset", F8K), THREE),
    "flickr8k texts nested": (f8k_text("Flickr8k_text/Flickr8k_text"), in_("Flicker8k_Dataset", F8K), THREE),
    "flickr8k texts unzipped flat": (f8k_text("."), in_("Flicker8k_Dataset", F8K), THREE),
    "flickr8k all flat": (f8k_text("."), F8K, THREE),
    "flickr8k from macOS": (
        {**f8k_text(), "__MACOSX/Flicker8k_Dataset/._1000268201_693b08cb0e.jpg": "x"},
        in_("Flicker8k_Dataset", F8K),
        THREE,
    ),
    "kaggle flickr8k": ({"captions.txt": table(F8K)}, in_("Images", F8K), BY_NAME),
    "kaggle flickr8k, photos beside": ({"captions.txt": table(F8K)}, F8K, BY_NAME),
    "kaggle flickr8k in a folder": ({"flickr8k/captions.txt": table(F8K)}, in_("flickr8k/Images", F8K), BY_NAME),
    "kaggle flickr30k": (
        {"results.csv": F30K_TABLE + F30K_BROKEN}, in_("flickr30k_images", F30K), BY_NAME
    ),
    "kaggle flickr30k nested": (
        {"flickr30k_images/results.csv": F30K_TABLE}, in_("flickr30k_images/flickr30k_images", F30K), BY_NAME
    ),
    "kaggle flickr30k with captions.txt": (
        {"captions.txt": table(F30K, "image_name,comment_number,comment", "{}, 0, Two men , talking .")},
        in_("flickr30k_images", F30K),
        BY_NAME,
    ),
    "flickr30k as published": (
        {"results_20130124.token": tokens(F30K), "readme.txt": "x"}, in_("flickr30k-images", F30K), BY_NAME
    ),
    "flickr30k in a folder": (
        {"flickr30k/results_20130124.token": tokens(F30K)}, in_("flickr30k-images", F30K), BY_NAME
    ),
    "karpathy flickr8k": ({"dataset_flickr8k.json": karpathy(F8K)}, in_("Flicker8k_Dataset", F8K), THREE),
    "karpathy flickr30k": ({"dataset_flickr30k.json": karpathy(F30K)}, in_("flickr30k-images", F30K), THREE),
    "karpathy flat": ({"dataset_flickr8k.json": karpathy(F8K)}, F8K, THREE),
    "karpathy coco": ({"dataset_coco.json": karpathy(COCO14, folder="val2014")}, in_("val2014", COCO14), THREE),
    "karpathy coco in images": (
        {"dataset_coco.json": karpathy(COCO14, folder="val2014")}, in_("images/val2014", COCO14), THREE
    ),
    "karpathy as unzipped, of three": (
        {f"dataset_{name}.json": karpathy(names) for name, names in
         {"coco": COCO14, "flickr30k": F30K, "flickr8k": F8K}.items()},
        in_("Images", F8K),
        THREE,
    ),
    "karpathy in its folder": (
        {f"caption_datasets/dataset_{name}.json": karpathy(names) for name, names in
         {"coco": COCO14, "flickr30k": F30K}.items()},
        in_("images", F30K),
        THREE,
    ),
    "karpathy with a long name of dev": ({"dataset_x.json": karpathy(OWN, "validation")}, OWN, THREE),
    "coco 2014": (
        coco_year(2014, COCO14), in_("train2014", COCO14[:4]) + in_("val2014", COCO14[4:]), (4, 4, 0)
    ),
    "coco 2017": (coco_year(2017, COCO17), in_("train2017", COCO17[:4]) + in_("val2017", COCO17[4:]), (4, 4, 0)),
    "coco in images": (
        coco_year(2017, COCO17), in_("images/train2017", COCO17[:4]) + in_("images/val2017", COCO17[4:]), (4, 4, 0)
    ),
    "coco, photos in one folder": (coco_year(2017, COCO17), in_("images", COCO17), (4, 4, 0)),
    "coco, val alone": (
        {"annotations/captions_val2017.json": coco(COCO17)}, in_("val2017", COCO17), (0, 8, 0)
    ),
    "coco of two years": (
        {**coco_year(2014, COCO14), **coco_year(2017, COCO17)},
        in_("train2017", COCO17[:4]) + in_("val2017", COCO17[4:]),
        (4, 4, 0),
    ),
    "coco's files beside the photos": (coco_year(2014, COCO14, ""), in_("images", COCO14), (4, 4, 0)),
    "own photos in coco's format": ({"captions_mine.json": coco(OWN)}, in_("images", OWN), BY_NAME),
    "own csv": ({"captions.csv": table(OWN)}, OWN, BY_NAME),
    "own csv of another name": ({"zoo.csv": table(OWN)}, in_("pictures", OWN), BY_NAME),
    "own csv in capitals": ({"CAPTIONS.CSV": table(OWN)}, OWN, BY_NAME),
    "own tsv in capitals": ({"Zoo.TSV": table(OWN, "image\tcaption", "{}\tA dog , running .")}, OWN, BY_NAME),
    "kaggle flickr8k in capitals": ({"Captions.TXT": table(F8K)}, in_("Images", F8K), BY_NAME),
    "karpathy in capitals": ({"Dataset_Flickr8k.JSON": karpathy(F8K)}, in_("Images", F8K), THREE),
    "coco in capitals": (
        {f"Annotations/CAPTIONS_{split}2017.JSON": coco(half)
         for split, half in {"TRAIN": COCO17[:4], "VAL": COCO17[4:]}.items()},
        in_("images", COCO17),
        (4, 4, 0),
    ),
    "hugging face in capitals": ({"METADATA.JSONL": json_lines(OWN)}, OWN, BY_NAME),
    "own csv, file_name and text": ({"a.csv": table(OWN, "file_name,text")}, OWN, BY_NAME),
    "own csv, photo and caption": ({"a.csv": table(OWN, "photo,caption")}, OWN, BY_NAME),
    "own csv, headers in capitals": ({"a.csv": table(OWN, "Image,CAPTION")}, OWN, BY_NAME),
    "own csv, headers with blanks": ({"a.csv": table(OWN, " image , caption ")}, OWN, BY_NAME),
    "own csv, further columns": (
        {"a.csv": table(OWN, "id,caption,image,by", '7,"A dog , running .",{},me')}, OWN, BY_NAME
    ),
    "own csv with a split": ({"a.csv": f"image,caption,Split\n{WITH_SPLIT}"}, OWN, THREE),
    "own csv of Excel": ({"a.csv": "\ufeff" + table(OWN, "image;caption", "{};A dog , running .")}, OWN, BY_NAME),
    "own csv with folders": ({"a.csv": table(in_("x/y", OWN))}, in_("x/y", OWN), BY_NAME),
    "own csv with folders of Windows": ({"a.csv": table([f"x\\{name}" for name in OWN])}, in_("x", OWN), BY_NAME),
    "own csv without suffixes": ({"a.csv": table([Path(name).stem for name in OWN])}, OWN, BY_NAME),
    "own csv, photos in capitals": ({"a.csv": table(OWN)}, UPPER, BY_NAME),
    "own csv with names in capitals": ({"a.csv": table(UPPER)}, in_("Images", OWN), BY_NAME),
    "own csv beside another table": ({"captions.csv": table(OWN), "a.csv": "links,dates\nx,y"}, OWN, BY_NAME),
    "own csv for each split": (
        {"train.csv": table(OWN[:4]), "valid.csv": table(OWN[4:6]), "test.csv": table(OWN[6:])}, OWN, THREE
    ),
    "own tsv": ({"a.tsv": table(OWN, "image\tcaption", "{}\tA dog , running .")}, OWN, BY_NAME),
    "json lines": ({"metadata.jsonl": json_lines(OWN)}, OWN, BY_NAME),
    "json lines with lists": (
        {"a.jsonl": "\n".join(json.dumps({"image": name, "caption": ["A dog.", "A cat."]}) for name in OWN)},
        OWN,
        BY_NAME,
    ),
    "json lines with a split": (
        {"a.jsonl": json_lines(OWN[:4], split="train") + json_lines(OWN[4:], split="dev")}, OWN, (4, 4, 0)
    ),
    "hugging face": (HF, HF_PHOTOS, THREE),
    "hugging face in data": (
        {f"data/{name}": text for name, text in HF.items()}, in_("data", HF_PHOTOS), THREE
    ),
    "hugging face, same names in each split": (
        {f"{split}/metadata.jsonl": json_lines(OWN[:2]) for split in ("train", "val", "test")},
        [photo for split in ("train", "val", "test") for photo in in_(split, OWN[:2])],
        (2, 2, 2),
    ),
    "hugging face with its infos": ({"metadata.jsonl": json_lines(OWN), "dataset_infos.json": "{}"}, OWN, BY_NAME),
    "hugging face in csv": ({"metadata.csv": table(OWN, "file_name,text")}, OWN, BY_NAME),
    "a karpathy file whose photos are elsewhere": (
        {"dataset_coco.json": karpathy(COCO14), "captions.txt": table(F8K)}, in_("Images", F8K), BY_NAME
    ),
}  # fmt: skip

REFUSED = {
    "nothing": ({}, [], ["holds no captions", "nothing", "image,caption", '{"file_name": "1.jpg"']),
    "photos alone": ({}, OWN, ["holds no captions", "1.jpg", "3 more"]),
    "a spreadsheet among photos": (
        {"captions.xlsx": "PK"}, OWN, ["but captions.xlsx, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 4 more"]
    ),
    "photos of another suffix": (
        {"a.csv": table(OWN)},
        [name.replace(".jpg", ".JPEG") for name in OWN],
        [".jpg') is there, but ", ".JPEG is: give it that name"],
    ),
    "no columns": ({"captions.csv": "1.jpg,A dog.\n"}, OWN, ["captions.csv", "columns image,caption"]),
    "photos elsewhere": ({"captions.csv": table(F8K)}, OWN, ["693b08cb0e.jpg", "None of the photos"]),
    "a split of its own": (
        {"a.csv": "image,caption,split\n1.jpg,A dog .,holdout"}, OWN, ["Line 2", "holdout", "valid"]
    ),
    "a photo in two splits": (
        {"a.csv": "image,caption,split\n1.jpg,A dog .,train\n1.jpg,A cat .,test"}, OWN, ["1.jpg", "two splits"]
    ),
    "commas without quotes": (
        {"a.csv": "caption,image\nA dog , running .,1.jpg"}, OWN, ["Line 2", "more cells", "quotes"]
    ),
    "json lines of another kind": ({"metadata.jsonl": '{"name": "1.jpg"}\n'}, OWN, ["Line 1", "file_name"]),
    "flickr8k without a list": (
        {name: text for name, text in f8k_text().items() if "dev" not in name},
        in_("Flicker8k_Dataset", F8K),
        ["Flickr_8k.devImages.txt is missing"],
    ),
    "coco's instances": (
        {"annotations/captions_val2017.json": '{"images": [], "annotations": [{"image_id": 7}]}'},
        in_("val2017", COCO17),
        ["captions_val2017.json", "COCO"],
    ),
    "a photo twice in a karpathy file": ({"dataset_x.json": karpathy([OWN[0]] * 8)}, OWN, [OWN[0], "twice"]),
}  # fmt: skip


def lay_out(folder: Path, files: dict[str, str], photos: list[str]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    for name, content in {**files, **dict.fromkeys(photos, file.getvalue())}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(("files", "photos", "sizes"), READ.values(), ids=READ)
def test_is_read_whole(tmp_path, files, photos, sizes):
    lay_out(tmp_path, files, photos)
    dataset = read_dataset(tmp_path)
    assert tuple(dataset.sizes.values()) == sizes
    found = [example for split in SPLITS for example in dataset.splits[split]]
    assert sorted(example.photo for example in found) == sorted(tmp_path / name for name in photos)
    assert all(text == text.strip() and " " in text for example in found for text in example.captions)
    assert dataset.without_captions == 0


@pytest.mark.parametrize(("files", "photos", "message"), REFUSED.values(), ids=REFUSED)
def test_is_refused_with_the_reason(tmp_path, files, photos, message):
    lay_out(tmp_path, files, photos)
    with refused(DatasetError, *message):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "files", "photos", "sizes"),
    [
        ("captions.csv", {"captions.csv": table(OWN), "other.csv": table(F8K)}, OWN, BY_NAME),
        ("texts/mine.csv", {"texts/mine.csv": table(OWN)}, in_("photos", OWN), BY_NAME),
        ("annotations/captions_val2017.json", coco_year(2017, COCO17), in_("val2017", COCO17[4:]), (0, 4, 0)),
        ("mine.json", {"mine.json": karpathy(OWN)}, OWN, THREE),
        ("mine.json", {"mine.json": coco(OWN)}, OWN, BY_NAME),
        ("train/metadata.jsonl", HF, HF_PHOTOS[:4], (2, 1, 1)),
        ("Flickr8k_text/Flickr8k.token.txt", f8k_text(), in_("Flicker8k_Dataset", F8K), THREE),
        ("FLICKR8K.TOKEN.TXT", {**f8k_text("."), "FLICKR8K.TOKEN.TXT": tokens(F8K)}, F8K, THREE),
        ("list.txt", {"list.txt": table(OWN)}, OWN, BY_NAME),
    ],
)
def test_a_file_can_be_named_instead_of_its_folder(tmp_path, monkeypatch, name, files, photos, sizes):
    lay_out(tmp_path, files, photos)
    assert tuple(read_dataset(tmp_path / name).sizes.values()) == sizes
    monkeypatch.chdir((tmp_path / name).parent)
    assert tuple(read_dataset(Path(name).name).sizes.values()) == sizes


@pytest.mark.parametrize("content", ["[]", "{", "7", '{"annotations": 7}', '{"images": {}}'])
def test_a_json_of_another_kind_is_refused(tmp_path, content):
    lay_out(tmp_path, {"mine.json": content}, OWN)
    with refused(DatasetError, "mine"):
        read_dataset(tmp_path / "mine.json")


def test_what_is_no_table_is_refused(tmp_path):
    lay_out(tmp_path, {"zoo.zip": "PK\x03\x04"}, OWN)
    for name in ("zoo.zip", OWN[0]):
        with refused(DatasetError, name):
            read_dataset(tmp_path / name)


def test_splits_by_name_stay_when_photos_are_added(tmp_path):
    """Most of them: the eighth that is held out is fixed by the names."""
    lay_out(tmp_path, {"a.csv": table(OWN)}, OWN)
    before = read_dataset(tmp_path)
    lay_out(tmp_path, {"a.csv": table(reversed(OWN))}, OWN)
    assert read_dataset(tmp_path).splits.keys() == before.splits.keys()
    assert [e.photo for e in read_dataset(tmp_path).split("dev")] == [e.photo for e in before.split("dev")]
