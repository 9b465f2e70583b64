import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config import compose
from regbench.data.image_files import fit_square, is_dark_on_light, predict_image, read_grey
from regbench.runs.loading import load_run
from regbench.runs.run import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run(folder, compose(["dataset=digits", "trainer.max_epochs=8", "threads=1"]), [])
    return folder


@pytest.fixture(scope="module")
def digit(finished: Path) -> np.ndarray[Any, Any]:
    """A test image that the network gets right, as bytes `(28, 28)`, light on dark."""
    with np.load(finished / "predictions.npz") as kept:
        right = kept["logits"].argmax(1) == kept["labels"]
    data = load_run(finished).data
    data.setup()
    index = int(right.argmax())
    return data.splits["test"].images[index, 0].mul(255).round().byte().numpy()


def drawing(size: tuple[int, int] = (40, 30)) -> np.ndarray[Any, Any]:
    """A light bar on dark ground."""
    pixels = np.zeros(size, np.uint8)
    pixels[size[0] // 4 : -size[0] // 4, size[1] // 3 : size[1] // 2] = 255
    return pixels


def saved(path: Path, pixels: np.ndarray[Any, Any], mode: str = "L", **options: Any) -> Path:
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("png", mode) for mode in ("L", "RGB", "P", "RGBA", "LA", "1", "I;16")),
     *(("jpg", mode) for mode in ("L", "RGB", "CMYK", "YCbCr"))],
)  # fmt: skip
def test_every_mode_gives_the_same_grey_levels(kind: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{kind}"
    deep = Image.fromarray(drawing().astype(np.uint16) * 257)
    image = deep if mode == "I;16" else Image.fromarray(drawing()).convert(mode)
    image.save(path)
    assert np.abs(read_grey(path) - drawing() / 255).mean() < 0.02


@pytest.mark.parametrize(("strokes", "ground"), [(0, 1.0), (255, 0.0)])
def test_transparent_ground_contrasts_with_the_strokes(strokes: int, ground: float, tmp_path: Path) -> None:
    opacity = drawing()
    grey = np.full_like(opacity, strokes)
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(opacity)]).save(tmp_path / "image.png")
    found = read_grey(tmp_path / "image.png")
    assert found[0, 0] == ground
    assert found[20, 12] == 1 - ground
    assert is_dark_on_light(found) == (strokes == 0)


def test_the_camera_s_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    saved(tmp_path / "image.jpg", drawing((40, 20)), exif=exif)
    assert read_grey(tmp_path / "image.jpg").shape == (20, 40)


def test_a_photograph_with_further_pictures_counts_as_its_first(tmp_path: Path) -> None:
    first, second = Image.fromarray(drawing()), Image.fromarray(255 - drawing())
    first.save(tmp_path / "image.jpg", format="MPO", save_all=True, append_images=[second])
    assert np.abs(read_grey(tmp_path / "image.jpg") - drawing() / 255).mean() < 0.02


def test_the_longer_side_is_fitted_and_the_rest_is_black() -> None:
    wide = fit_square(np.ones((14, 56), np.float32), 28)[0, 0]
    assert wide.shape == (28, 28)
    assert wide[10:17].min() == 1
    assert wide[:10].max() == wide[18:].max() == 0
    assert fit_square(np.ones((3, 9_000), np.float32), 28).sum().item() == pytest.approx(28)
    exact = torch.rand(28, 28)
    assert torch.equal(fit_square(exact.numpy(), 28)[0, 0], exact)


@pytest.mark.parametrize("side", [28, 300])
@pytest.mark.parametrize("inverted", [False, True])
def test_an_image_of_any_size_and_either_polarity_is_classified_as_the_data_set_s_own(
    side: int, inverted: bool, finished: Path, digit: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    trained = load_run(finished)
    net = trained.net.eval()
    pixels = 255 - digit if inverted else digit
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    image.save(tmp_path / "digit.png")
    expected = net(torch.from_numpy(digit)[None, None].float() / 255).softmax(1)[0]
    found = predict_image(net, tmp_path / "digit.png", 28)
    assert found.dark_on_light is inverted
    assert found.probabilities.argmax() == expected.argmax()
    if side == 28:
        torch.testing.assert_close(found.probabilities, expected, atol=1e-5, rtol=0)
    forced = predict_image(net, tmp_path / "digit.png", 28, dark_on_light=not inverted)
    assert forced.dark_on_light is not inverted
    assert not torch.allclose(forced.probabilities, found.probabilities, atol=1e-3)


def truncated(path: Path) -> None:
    saved(path, np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8))
    path.write_bytes(path.read_bytes()[:-900])


def enormous(path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))


def animated(path: Path) -> None:
    frames = [Image.fromarray(drawing()), Image.fromarray(255 - drawing())]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def gif(path: Path) -> None:
    Image.fromarray(drawing()).save(path, format="GIF")


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("truncated.png", truncated, "damaged or unreadable"),
    ("truncated.jpg", truncated, "damaged or unreadable"),
    ("enormous.png", enormous, "expected at most 50,000,000 pixels"),
    ("long.png", lambda path: saved(path, np.zeros((8, 20_001), np.uint8)), "received 20,001 × 8"),
    ("large.png", lambda path: saved(path, np.zeros((10_000, 6_000), np.uint8)), "received 6,000 × 10,000"),
    ("dot.png", lambda path: saved(path, np.zeros((1, 1), np.uint8)), "from 8 to 20,000 pixels a side.* 1 × 1"),
    ("animated.png", animated, "expected a still image, received an animation"),
    ("moving.gif", gif, "expected a PNG or JPEG image"),
    ("disguised.png", gif, "expected a PNG or JPEG image"),
    ("text.png", lambda path: path.write_text("no image"), "expected a PNG or JPEG image"),
    ("empty.png", lambda path: path.touch(), "expected a PNG or JPEG image"),
    ("missing.png", lambda path: None, "no such file"),
    ("folder.png", lambda path: path.mkdir(), "damaged or unreadable"),
]


@pytest.mark.parametrize(("name", "make", "message"), BAD, ids=[each[0] for each in BAD])
def test_what_is_no_usable_image_is_told_in_one_line_that_names_it(
    name: str, make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: .*{message}") as caught:
        read_grey(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_bad_files_are_named_and_do_not_stop_the_others(
    finished: Path, digit: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    good = saved(tmp_path / "good.png", digit)
    dark = saved(tmp_path / "dark.png", 255 - digit)
    (tmp_path / "bad.png").write_text("no image")
    ended = CliRunner().invoke(app, ["predict", str(finished), str(good), str(tmp_path / "bad.png"), str(dark)])
    assert ended.exit_code == 1
    first, second = ended.stdout.splitlines()
    assert first.startswith(f"{good}: ")
    assert first.count("%") == 3
    assert second == f"{dark}: {first.split(': ')[1]} (inverted)"
    assert ended.stderr.splitlines() == [
        f"error: {tmp_path}/bad.png: expected a PNG or JPEG image, received something else"
    ]


def test_json_holds_every_probability_and_every_error(
    finished: Path, digit: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    good = saved(tmp_path / "good.png", digit)
    arguments = ["predict", "--json", str(finished), str(good), str(tmp_path / "missing.png")]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 1
    found, failed = json.loads(ended.stdout)
    assert list(found["probabilities"]) == [str(number) for number in range(10)]
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert found["class"] == max(found["probabilities"], key=found["probabilities"].get)
    assert failed == {"image": str(tmp_path / "missing.png"), "error": f"{tmp_path}/missing.png: no such file"}
    ended = CliRunner().invoke(app, ["predict", "--json", "--dark-on-light", str(finished), str(good)])
    assert ended.exit_code == 0
    assert json.loads(ended.stdout)[0]["dark_on_light"] is True


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["predict", str(tmp_path), "image.png"])
    assert ended.exit_code == 1
    assert "expected the folder of a finished run" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_reading_leaves_no_file_open_and_takes_no_bytes_for_granted(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(drawing()).save(whole, format="PNG")
    for length in range(0, len(whole.getvalue()) - 20, 7):
        (tmp_path / "part.png").write_bytes(whole.getvalue()[:length])
        with pytest.raises(ValueError, match=r"part\.png: (expected a PNG|damaged)"):
            read_grey(tmp_path / "part.png")
