"""Whatever photo comes in, an upright RGB photo or one sentence comes out."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from captioning.errors import ImageError
from captioning.images import MAX_BYTES, open_image, to_pixels
from tests.helpers import refused

# How a camera stores the upright picture under each EXIF orientation (EXIF 2.3, tag 0x0112).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def opened(image: Image.Image, file_format: str, **options) -> np.ndarray:
    """The photo's values after it was saved and opened."""
    photo = open_image(encoded(image, file_format, **options))
    assert photo.mode == "RGB"
    return np.asarray(photo).astype(int)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@pytest.fixture
def cat(photos) -> np.ndarray:
    """A small picture that no turn or mirror leaves as it is."""
    with Image.open(photos / "chelsea.jpg") as image:
        return np.asarray(image.resize((45, 30)))


@pytest.fixture
def gray(cat) -> np.ndarray:
    return cat[..., 1]


@pytest.mark.parametrize(
    "name", ["camera.jpg", "motorcyclist-in-fog.jpg", "astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg"]
)
def test_path_bytes_and_file_object_give_the_same_photo(photos, name):
    path = photos / name
    photo = open_image(path)
    with Image.open(path) as expected:
        assert photo == expected.convert("RGB")
    assert open_image(str(path)) == open_image(path.read_bytes()) == open_image(io.BytesIO(path.read_bytes())) == photo
    with path.open("rb") as file:
        assert open_image(file) == photo


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_gives_the_upright_picture(cat, orientation, file_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](cat)))
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(file_format, {})
    upright = opened(stored, file_format, exif=exif, **lossless)
    assert upright.shape == cat.shape
    assert np.abs(upright - cat).mean() < (3 if file_format == "JPEG" else 1e-9)


def test_transparency_is_composed_on_white(cat, gray):
    alpha = np.linspace(0, 255, gray.size).reshape(gray.shape).astype(np.uint8)
    share = alpha[..., None] / 255
    for values, mode in [(cat, "RGBA"), (gray[..., None], "LA")]:
        image = Image.fromarray(np.concatenate([values, alpha[..., None]], axis=-1), mode)
        expected = values * share + 255 * (1 - share)
        np.testing.assert_allclose(opened(image, "PNG"), np.broadcast_to(expected, cat.shape), atol=1)


def test_the_transparent_colour_of_a_palette_becomes_white(cat):
    palette = Image.fromarray(cat).quantize(16)
    expected = np.array(palette.convert("RGB")).astype(int)
    np.testing.assert_array_equal(opened(palette, "PNG"), expected)
    expected[np.asarray(palette) == 3] = 255
    np.testing.assert_array_equal(opened(palette, "PNG", transparency=3), expected)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_deep_gray_keeps_its_tones(gray, file_format):
    expected = np.repeat(gray[..., None], 3, axis=-1)
    np.testing.assert_array_equal(opened(Image.fromarray(gray), file_format), expected)
    sixteen = Image.fromarray(gray.astype(np.uint16) * 257)
    np.testing.assert_allclose(opened(sixteen, file_format), expected, atol=1)


@pytest.mark.parametrize("top", [1.0, 255.0, 1000.0])
def test_floating_point_gray_keeps_its_tones_whatever_its_range(gray, top):
    values = gray / gray.max()
    photo = opened(Image.fromarray((values * top).astype(np.float32)), "TIFF")
    np.testing.assert_allclose(photo, np.repeat(255 * values[..., None], 3, axis=-1), atol=1)


def test_floating_point_gray_survives_values_that_are_no_numbers(gray):
    values = (gray / 255).astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    photo = opened(Image.fromarray(values), "TIFF")
    np.testing.assert_allclose(photo[1:, :, 0], gray[1:], atol=1)


def test_a_cmyk_jpeg_keeps_its_colours(cat):
    photo = opened(Image.fromarray(cat).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(photo - cat).mean() < 5


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    photo = opened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(photo, np.asarray(frames[0]))


@pytest.mark.parametrize("tenth", range(1, 10))
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_short_is_refused(photos, tenth, progressive):
    with Image.open(photos / "rocket.jpg") as image:
        data = encoded(image, "JPEG", progressive=progressive)
    with refused(ImageError, "cut short"):
        open_image(data[: len(data) * tenth // 10])


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_damaged_photo_is_refused(photos, at):
    with Image.open(photos / "chelsea.jpg") as image:
        data = bytearray(encoded(image, "PNG"))
    start = int(len(data) * at)
    data[start : start + 100] = bytes(100)
    with refused(ImageError, "damaged"):
        open_image(bytes(data))


def test_what_is_no_photo_is_refused_with_its_name(tmp_path):
    for name, data, reason in [
        ("empty.jpg", b"", "is empty"),
        ("text.jpg", b"A dog runs.\n" * 99, "is not a photo"),
        ("page.html", b"<html><body>404</body></html>", "is not a photo"),
        ("pixel.jpg", b"\xff", "is not a photo"),
    ]:
        path = tmp_path / name
        path.write_bytes(data)
        with refused(ImageError, name, reason):
            open_image(path)


def test_a_drawing_program_for_ghostscript_is_never_run(tmp_path, cat):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(Image.fromarray(cat), "EPS"))
    with refused(ImageError, "photo.jpg", "is not a photo"):
        open_image(path)


def test_what_cannot_be_opened_is_refused_with_its_name(tmp_path):
    with refused(ImageError, "missing.jpg", "There is no photo"):
        open_image(tmp_path / "missing.jpg")
    with refused(ImageError, tmp_path.name, "is a folder"):
        open_image(tmp_path)
    with refused(ImageError):
        open_image("x" * 5000)
    with refused(ImageError):
        open_image("nul\0byte.jpg")


def test_a_photo_of_too_many_bytes_is_refused(tmp_path, photos):
    data = (photos / "rocket.jpg").read_bytes()
    padded = data + bytes(MAX_BYTES - len(data))
    assert open_image(padded) == open_image(data)
    path = tmp_path / "large.jpg"
    path.write_bytes(padded + b"\0")
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with refused(ImageError, "32 MB"):
            open_image(source)


@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 8_000), (13_000, 13_000), (20_000, 20_000), (2**30, 2**30)])
def test_a_photo_of_too_many_pixels_is_refused_by_its_header(size):
    with refused(ImageError, "64 megapixels"):
        open_image(png_header(*size))


def test_pixels_are_the_whole_photo_squeezed_into_a_square(photos):
    photo = open_image(photos / "rocket.jpg")
    for size in (64, 224):
        pixels = to_pixels(photo, size)
        assert pixels.shape == (3, size, size)
        assert pixels.dtype == np.uint8
        expected = photo.resize((size, size), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.asarray(expected))
    left_red = Image.new("RGB", (300, 100), "blue")
    left_red.paste("red", (0, 0, 150, 100))
    pixels = to_pixels(left_red, 10)
    assert (pixels[:, :, :3] == np.array([255, 0, 0])[:, None, None]).all()
    assert (pixels[:, :, 7:] == np.array([0, 0, 255])[:, None, None]).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((4096, 1024), (1280, 320)), ((300, 6000), (64, 1280)), ((1280, 9), (1280, 9))]
)
def test_large_photos_are_made_smaller_in_proportion(size, expected):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "PNG")
    photo = open_image(file.getvalue())
    assert photo.size == expected
    assert photo.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["P", "RGBA", "L"])
def test_a_large_photo_made_smaller_in_strips_is_as_if_it_were_made_in_one(cat, mode):
    large = Image.fromarray(cat).resize((9000, 1300)).convert("RGB")
    if mode == "RGBA":
        large.putalpha(Image.linear_gradient("L").resize(large.size))
    large = large.quantize(64) if mode == "P" else large.convert(mode)
    photo = opened(large, "PNG", compress_level=1)
    white = Image.new("RGBA", large.size, "white")
    plain = Image.alpha_composite(white, large.convert("RGBA")).convert("RGB")
    plain = plain.resize((1280, photo.shape[0]), Image.Resampling.LANCZOS)
    assert np.abs(photo - np.asarray(plain)).mean() < 1


def test_large_deep_gray_keeps_its_tones(gray):
    large = Image.fromarray(gray).resize((9000, 1300))
    photo = opened(Image.fromarray(np.asarray(large).astype(np.uint16) * 257), "PNG", compress_level=1)
    plain = np.asarray(large.resize((1280, photo.shape[0]), Image.Resampling.LANCZOS))
    assert np.abs(photo[..., 0] - plain).mean() < 1


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "I", "F", "RGB", "RGBA", "LA", "CMYK"])
def test_a_pillow_image_is_read_as_its_file_is_and_not_changed(photos, mode):
    with Image.open(photos / "chelsea.jpg") as file:
        gray = np.asarray(file.convert("L"))
        deep = {"I;16": gray.astype(np.uint16) * 257, "F": gray / np.float32(255)}
        image = Image.fromarray(deep[mode]) if mode in deep else file.convert(mode)
    assert image.mode == mode
    before = image.tobytes()
    file_format = "TIFF" if mode in ("I", "F", "CMYK") else "PNG"
    photo = open_image(image)
    assert photo.mode == "RGB"
    np.testing.assert_array_equal(photo, opened(image, file_format))
    assert image.tobytes() == before


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", STORED)
def test_the_orientation_of_a_pillow_image_is_applied(tmp_path, cat, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(np.ascontiguousarray(STORED[orientation](cat))).save(path, exif=exif)
    with Image.open(path) as image:
        photo = open_image(image)
    assert photo == open_image(path.read_bytes())
    np.testing.assert_allclose(np.asarray(photo, int).mean((0, 1)), cat.mean((0, 1)), atol=3)
    assert photo.size == cat.shape[1::-1]
    if suffix == ".png":
        np.testing.assert_array_equal(photo, cat)


def test_a_large_pillow_image_is_made_smaller_and_stays_as_it_was():
    image = Image.new("RGB", (4096, 1024), "red")
    assert open_image(image).size == (1280, 320)
    assert image.size == (4096, 1024)


def test_a_pillow_image_that_cannot_be_read_is_refused_with_its_name(tmp_path, photos):
    (tmp_path / "short.jpg").write_bytes((photos / "chelsea.jpg").read_bytes()[:5000])
    with Image.open(tmp_path / "short.jpg") as image, refused(ImageError, "short.jpg", "cut short"):
        open_image(image)
    with refused(ImageError, "64 megapixels"):
        open_image(Image.new("1", (8001, 8000)))


def test_a_file_that_is_closed_is_refused_with_its_name(photos):
    with (photos / "chelsea.jpg").open("rb") as file:
        pass
    with refused(ImageError, "chelsea.jpg", "closed"):
        open_image(file)


def test_bytes_of_every_kind_are_a_photo(photos):
    data = (photos / "chelsea.jpg").read_bytes()
    photo = open_image(data)
    assert open_image(bytearray(data)) == open_image(memoryview(data)) == photo


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_arrays_and_tensors_are_photos_in_every_type(cat, gray, channels):
    values = gray.copy() if channels is None else np.concatenate([cat, cat], axis=-1)[..., :channels]
    photo = open_image(Image.fromarray(values[..., 0] if channels == 1 else values))
    scaled = [values, values.astype(np.uint16) * 257, values.astype(np.float64)]
    scaled += [(values / 255).astype(kind) for kind in (np.float16, np.float32, np.float64)]
    for array in scaled:
        assert open_image(array) == photo
        tensor = torch.from_numpy(array if channels is None else array.transpose(2, 0, 1))
        assert open_image(tensor) == photo
    # Neither contiguous, nor without a gradient, nor in a type that NumPy has.
    assert open_image(np.asfortranarray(values)[:, ::-1][:, ::-1]) == photo
    tensor = torch.from_numpy(values / 255 if channels is None else (values / 255).transpose(2, 0, 1))
    assert open_image(tensor.requires_grad_()) == photo
    low = np.asarray(open_image(tensor.bfloat16())).astype(int)
    assert np.abs(low - np.asarray(photo)).max() <= 3


@pytest.mark.parametrize(
    "values", [np.full((3, 3), -0.1), np.full((3, 3), 256.0), np.full((3, 3), np.nan), np.zeros((0, 3, 3))]
)
def test_arrays_whose_values_are_no_photo_are_refused(values):
    with refused(ImageError, "The photo"):
        open_image(values)


@pytest.mark.parametrize(
    "source",
    [
        None,
        7,
        ["photo.jpg"],
        np.zeros((3, 3), dtype=np.int64),
        np.zeros((3, 3), dtype=bool),
        np.zeros((3, 20, 30), dtype=np.uint8),
        np.zeros((2, 20, 30, 3), dtype=np.uint8),
        torch.zeros(20, 30, 3),
        io.StringIO("photo"),
    ],
)
def test_what_no_photo_can_be_given_as_is_refused_with_what_can(source):
    with pytest.raises(TypeError, match=r"^A photo is a path, .*; not .*\.$") as caught:
        open_image(source)
    for kind in ("bytes", "bytearray", "memoryview", "file opened in binary mode", "Pillow", "NumPy", "PyTorch"):
        assert f" {kind}" in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://example.org/dog.jpg", "HTTP://x/y.png", "s3://a/b.jpg", "data:image/png,x"]
)
def test_addresses_on_the_web_are_refused(address):
    with refused(ImageError, "download"):
        open_image(address)
