"""The photos that come with the app: each is a photo, small, and credited on the page and in exported files."""

import csv

from captioning import open_image
from captioning.page.gallery import sample_credit, sample_photos
from tests.page import errors, text_of


def test_every_photo_of_the_folder_is_on_offer_and_credited(photos):
    with (photos / "credits.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(sample_photos().values()) == sorted(photos.glob("*.jpg"))
    assert len(sample_photos()) == len(rows)
    for row in rows:
        assert all(row.values()), row
        credit = sample_credit(photos / row["file"])
        assert row["author"] in credit.text
        assert row["licence"] in credit.text
        assert credit.licence_url.startswith("http")


def test_every_photo_is_small_and_whole(photos):
    for path in photos.glob("*.jpg"):
        assert path.stat().st_size < 400_000
        assert max(open_image(path).size) <= 1280


def test_the_page_names_the_maker_of_the_photo_that_it_shows(start):
    app = start(photo="Pizza")
    assert errors(app) == []
    assert "Flickr photo 4409615060, CC BY 2.0, via MS COCO" in text_of(app)


def test_a_photo_of_a_folder_has_no_credit(start, photos, tmp_path):
    (tmp_path / "pizza.jpg").write_bytes((photos / "pizza.jpg").read_bytes())
    app = start("--photos", tmp_path)
    assert errors(app) == []
    assert "Photo:" not in text_of(app)
