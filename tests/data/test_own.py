"""Sets of images of one's own: read from any form, described in a YAML, trained on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from regbench.data.describing import moments, write_dataset
from regbench.data.npz import Npz, images_of
from regbench.data.own import read_idx, read_own
from tests.commands import Command
from tests.data.own_images import arrays, coloured, write_folder, write_idx

QUICK = ["trainer.max_epochs=1", "threads=1"]


def test_a_folder_by_class_is_read_with_a_stratified_test_share(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos")
    data = read_own(tmp_path / "photos", test_share=0.25)
    assert data.classes == ["cat", "dog", "eel"]
    assert data.arrays.train_images.shape == (45, 3, 32, 32)
    assert data.arrays.test_labels.bincount().tolist() == [5, 5, 5]
    both = [image.tobytes() for part in (0, 2) for image in data.arrays[part].permute(0, 2, 3, 1).numpy()]
    written = [image.tobytes() for label in range(3) for image in coloured(20, label)]
    assert sorted(both) == sorted(written)
    for image, label in zip(data.arrays.train_images, data.arrays.train_labels.tolist(), strict=True):
        assert (image[label, 4 * label : 4 * label + 4] == 255).all()
    assert read_own(tmp_path / "photos", test_share=0.25).arrays.sha256() == data.arrays.sha256()


def test_train_and_test_folders_are_kept_apart_and_others_are_left_out_aloud(tmp_path: Path) -> None:
    for part, count, seed in (("Train", 10, 1), ("test", 4, 2), ("valid", 3, 3)):
        write_folder(tmp_path / part, count=count, seed=seed)
    data = read_own(tmp_path, test_share=0.5)
    assert [len(labels) for labels in (data.arrays.train_labels, data.arrays.test_labels)] == [30, 12]
    (note,) = data.notes
    assert "left out: " in note
    assert "valid" in note


def test_grey_files_make_a_grey_set_and_colour_can_be_turned_into_grey(tmp_path: Path) -> None:
    write_folder(tmp_path / "grey", channels=1)
    assert read_own(tmp_path / "grey", 0.2).arrays.train_images.shape == (48, 1, 32, 32)
    write_folder(tmp_path / "colour")
    found = read_own(tmp_path / "colour", 0.2, grey=True).arrays
    assert found.train_images.shape == (48, 1, 32, 32)
    expected = np.asarray(Image.fromarray(coloured(20, 0)[0]).convert("L"))
    assert any(np.array_equal(image[0], expected) for image in torch.cat([found.train_images, found.test_images]))


@pytest.mark.parametrize(("side", "expected"), [(None, 32), (20, 20)])
def test_images_of_various_sizes_are_fitted_with_black_beside(side: int | None, expected: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (40, 20 + number), "white").save(tmp_path / name / f"{number}.jpg")
    data = read_own(tmp_path, 0.5, side)
    assert data.arrays.train_images.shape == (4, 1, expected, expected)
    assert (data.arrays.train_images[:, :, 0] == 0).all()
    assert (data.arrays.train_images[:, :, expected // 2] == 255).all()
    assert ("images are fitted to 32 × 32" in data.notes[0]) is (side is None)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_of_ones_own_are_read_whatever_their_checksums(suffix: str, tmp_path: Path) -> None:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    train, test = (arrays(count, side=28, channels=1, seed=count) for count in (10, 5))
    for name, array in zip(names, (train[0][..., 0], train[1], test[0][..., 0], test[1]), strict=True):
        write_idx(tmp_path / f"{name}{suffix}", array)
    data = read_own(tmp_path, 0.2)
    assert data.classes == ["0", "1", "2"]
    assert np.array_equal(data.arrays.train_images[:, 0].numpy(), train[0][..., 0])
    assert data.arrays.test_labels.tolist() == test[1].tolist()


def test_a_single_pair_of_idx_files_is_split(tmp_path: Path) -> None:
    images, labels = arrays(10, side=28, channels=1)
    write_idx(tmp_path / "all-images.idx3-ubyte", images[..., 0])
    write_idx(tmp_path / "all-labels.idx1-ubyte", labels)
    data = read_own(tmp_path, 0.2)
    assert [len(data.arrays.train_labels), len(data.arrays.test_labels)] == [24, 6]


@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "floats"])
def test_npz_files_are_read_in_either_layout_as_bytes_or_in_the_unit_interval(layout: str, tmp_path: Path) -> None:
    images, labels = arrays(10)
    stored: Any = {"NHWC": images, "NCHW": images.transpose(0, 3, 1, 2), "floats": images / 255}[layout]
    np.savez(tmp_path / "a.npz", X_train=stored, Y_train=labels[:, None], x_test=stored[::5], y_test=labels[::5])
    data = read_own(tmp_path / "a.npz", 0.2)
    assert np.array_equal(data.arrays.train_images.permute(0, 2, 3, 1).numpy(), images)
    assert data.arrays.test_labels.tolist() == labels[::5].tolist()
    assert data.notes == ["6 test images are training images, too: their answers may be learned by heart"]


def test_labels_may_be_words(tmp_path: Path) -> None:
    images, labels = arrays(10)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array(["eel", "ant", "owl"])[labels])
    data = read_own(tmp_path / "a.npz", 0.2)
    assert data.classes == ["ant", "eel", "owl"]
    stripe = data.arrays.train_images[:, 0, 0, 0] == 255  # of the first class of the pixels
    assert [data.classes[label] for label in data.arrays.train_labels[stripe].unique()] == ["eel"]


def test_channels_are_found_by_what_leaves_squares_or_is_few() -> None:
    shapes = {(2, 5, 5, 3): 3, (2, 3, 5, 5): 3, (2, 9, 5, 5): 9, (2, 5, 7, 3): 3, (2, 1, 5, 7): 1, (2, 5, 5, 9): 9}
    for shape, channels in shapes.items():
        assert images_of(np.zeros(shape, np.uint8), "x").shape[1] == channels, shape


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    images[:, 1] //= 2
    mean, std = moments(images)
    pixels = images.double().div(255).transpose(0, 1).flatten(1)
    assert mean == pytest.approx(pixels.mean(1).tolist())
    assert std == pytest.approx(pixels.std(1, correction=0).tolist())
    with pytest.raises(ValueError, match="the same value in all pixels of a channel"):
        moments(torch.zeros(5, 1, 4, 4, dtype=torch.uint8))


def test_the_yaml_says_what_the_images_are(tmp_path: Path) -> None:
    write_folder(tmp_path / "My photos", names=("no", "1", "é"))
    new = write_dataset(tmp_path / "My photos", None, tmp_path / "data", tmp_path / "configs")
    assert new.description == tmp_path / "configs/dataset/my_photos.yaml"
    node = yaml.safe_load(new.description.read_text(encoding="utf-8"))
    assert node["classes"] == ["1", "no", "é"]
    assert (node["channels"], node["train_images"], node["root"]) == (3, 48, str(tmp_path / "data"))
    assert len(node["mean"]) == len(node["std"]) == 3
    read = Npz(node["source"]["file"], node["source"]["arrays"], node["source"]["sha256"]).read(Path(node["root"]))
    assert read.sha256() == node["source"]["sha256"]
    with pytest.raises(ValueError, match=r"my_photos\.npz: there already; give another --name, or --replace"):
        write_dataset(tmp_path / "My photos", None, tmp_path / "data", tmp_path / "configs")
    write_dataset(tmp_path / "My photos", None, tmp_path / "data", tmp_path / "configs", replace=True, grey=True)
    assert yaml.safe_load(new.description.read_text(encoding="utf-8"))["channels"] == 1


def test_ones_own_file_is_never_replaced_by_itself(tmp_path: Path) -> None:
    images, labels = arrays(10)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    before = (tmp_path / "mine.npz").read_bytes()
    with pytest.raises(ValueError, match=r"mine\.npz: there already"):
        write_dataset(tmp_path / "mine.npz", None, tmp_path, tmp_path / "configs", replace=True)
    assert (tmp_path / "mine.npz").read_bytes() == before


@pytest.mark.slow
@pytest.mark.drawn
@pytest.mark.parametrize("model", ["lenet5", "mlp_small", "resnet20"])
def test_a_set_in_colour_is_trained_on_scored_predicted_and_exported(
    model: str, command: Command, tmp_path: Path
) -> None:
    write_folder(tmp_path / "photos")
    described = command("regbench", "new", "dataset", "photos", "--configs", "mine")
    assert described.status == 0, described.err
    assert "photos: 48 training and 12 test images, 32 × 32, colour, 3 classes" in described.out
    call = ["regbench", *described.out.rpartition("Next: regbench ")[2].split()]
    assert call == ["regbench", "train", "--config-dir", "mine", "dataset=photos"]
    ended = command(*call, f"model={model}", "regularizer=[augmentation,batchnorm,cutout,dropout,mixup]", *QUICK)
    assert ended.status == 0, ended.err
    (run,) = (path.parent for path in tmp_path.glob("outputs/runs/*/*/*/results.json"))
    with np.load(run / "predictions.npz") as kept:
        side = 28 if model in {"lenet5", "mlp_small"} else 32
        assert kept["sample_images"].shape == (12, side, side, 3)
    assert "as recorded in results.json" in command("regbench", "evaluate", str(run)).out
    predicted = command("regbench", "predict", str(run), "photos/cat/1.png", "--json")
    (answer,) = json.loads(predicted.out)
    assert set(answer["probabilities"]) == {"cat", "dog", "eel"}
    assert answer["dark_on_light"] is False
    assert command("regbench", "report", str(run)).status == 0
    assert command("regbench", "export", str(run), "--format", "pt2").status == 0
    program = torch.export.load(str(run / "export/model.pt2")).module()
    image = torch.from_numpy(np.asarray(Image.open("photos/cat/1.png")).copy()).permute(2, 0, 1)[None].float() / 255
    if side == 32:
        expected = torch.tensor(list(answer["probabilities"].values()))
        torch.testing.assert_close(program(image).softmax(1)[0], expected, atol=1e-5, rtol=0)
    else:
        assert program(torch.rand(5, 3, 28, 28)).shape == (5, 3)


def test_other_images_than_the_yaml_describes_are_refused_and_another_description_is_another_run(
    command: Command, tmp_path: Path
) -> None:
    write_folder(tmp_path / "photos")
    train = ["regbench", "train", "--config-dir", "mine", "dataset=photos", "model=mlp_small", *QUICK]
    assert command("regbench", "new", "dataset", "photos", "--configs", "mine").status == 0
    assert command(*train).status == 0
    shutil.copy(tmp_path / "data/photos.npz", tmp_path / "kept.npz")
    (tmp_path / "photos/cat/0.png").unlink()
    assert command("regbench", "new", "dataset", "photos", "--configs", "mine", "--replace").status == 0
    assert "not trained again" not in command(*train).out
    runs = sorted(path.parent for path in tmp_path.glob("outputs/runs/*/*/*/results.json"))
    assert len(runs) == 2
    shutil.copy(tmp_path / "kept.npz", tmp_path / "data/photos.npz")
    refused = command(*train, "seed=1")
    assert refused.status == 1
    assert refused.err.startswith(
        f"error: {tmp_path / 'data/photos.npz'}: expected the images that dataset.source.sha256 states"
    )
    assert refused.err.count("\n") == 1


def torn(path: Path) -> None:
    images, labels = arrays(10)
    np.savez(path, images=images, labels=labels)
    path.write_bytes(path.read_bytes()[:-5000])


WRONG: list[tuple[str, Callable[[Path], Any], str]] = [
    ("nothing", lambda path: None, "expected a folder of images or of IDX files, or an .npz file; received nothing"),
    ("text.txt", lambda path: path.write_text("no"), "received another file"),
    ("empty", lambda path: path.mkdir(), "expected a folder of PNG or JPEG files for each of two or more classes"),
    ("one", lambda path: write_folder(path, names=("cat",)), "for each of two or more classes"),
    ("torn.npz", torn, "expected an .npz file, damaged or something else"),
    ("text.npz", lambda path: path.write_text("no"), "text.npz: expected"),
    ("none.npz", lambda path: np.savez(path, a=np.zeros(3)), "found no train_images"),
    (
        "deep.npz",
        lambda path: np.savez(path, x=np.zeros((4, 8, 8), np.int32), y=np.arange(4)),
        "expected bytes (uint8) or numbers in [0, 1], received int32",
    ),
    (
        "large.npz",
        lambda path: np.savez(path, x=np.full((4, 8, 8), 1.5), y=np.arange(4)),
        "expected numbers in [0, 1], or bytes, received others",
    ),
    (
        "objects.npz",
        lambda path: np.savez(path, x=np.zeros((4, 8, 8)), y=np.array([{}, [], 1, 2], dtype=object)),
        "expected arrays of numbers",
    ),
    ("flat.npz", lambda path: np.savez(path, x=np.zeros((4, 64)), y=np.arange(4)), "received (4, 64)"),
    (
        "gap.npz",
        lambda path: np.savez(path, x=np.random.rand(20, 8, 8), y=np.repeat([0, 2], 10)),
        "expected train images of every class, found none of '1'",
    ),
    (
        "few.npz",
        lambda path: np.savez(path, x=np.random.rand(11, 8, 8), y=np.array([0] * 10 + [1])),
        "images of every class after the split, found none of '1'; give a larger --test-share",
    ),
    (
        "short.npz",
        lambda path: np.savez(path, x=np.random.rand(20, 8, 8), y=np.arange(19) % 2),
        "expected a label for each of 20 train images, received 19",
    ),
]


@pytest.mark.parametrize(("name", "write", "message"), WRONG, ids=[each[0] for each in WRONG])
def test_what_is_no_set_of_images_is_told_in_one_line(
    name: str, write: Callable[[Path], Any], message: str, tmp_path: Path, command: Command
) -> None:
    write(tmp_path / name)
    ended = command("regbench", "new", "dataset", name)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert name in ended.err
    assert message in ended.err
    assert "delete" not in ended.err
    assert not list(tmp_path.glob("data/*"))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos")
    (tmp_path / "photos/dog/3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"photos/dog/3\.png: expected a PNG or JPEG image"):
        read_own(tmp_path / "photos", 0.2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file of bytes"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), "expected an IDX file of bytes"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]), "damaged, expected 9 bytes of data, received 1"),
        (bytes([0, 0, 8, 3, 0, 0]), "damaged"),
    ],
)
def test_a_damaged_idx_file_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a-idx1-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a-idx1-ubyte: .*{message}"):
        read_idx(tmp_path / "a-idx1-ubyte")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test-share", "1"], r"--test-share: expected a number in (0, 1), received 1"),
        (["--name", "my set"], "--name: expected letters, digits and _, received 'my set'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], message: str, command: Command) -> None:
    write_folder(Path("photos"))
    ended = command("regbench", "new", "dataset", "photos", *options)
    assert ended.status == 1
    assert message in ended.err


@pytest.mark.parametrize("file", ["/etc/a.npz", "../a.npz"])
def test_the_file_lies_below_the_root(file: str) -> None:
    with pytest.raises(ValueError, match=r"file: expected a path below dataset\.root"):
        Npz(file)


def test_an_npz_file_of_ones_own_names_serves_without_a_copy(tmp_path: Path) -> None:
    images, labels = arrays(10)
    np.savez(tmp_path / "a.npz", a=images, b=labels, c=images[::2], d=labels[::2])
    names: Any = {"train_images": "a", "train_labels": "b", "test_images": "c", "test_labels": "d"}
    assert len(Npz("a.npz", names).read(tmp_path).test_labels) == 15  # type: ignore[arg-type]  # validated
    with pytest.raises(
        ValueError, match=r"expected train_images, .* found no train_images and no .*regbench new dataset"
    ):
        Npz("a.npz").read(tmp_path)  # type: ignore[arg-type]  # validated
    with pytest.raises(ValueError, match="expected an array 'e', received a, b, c, d"):
        Npz("a.npz", {**names, "test_labels": "e"}).read(tmp_path)  # type: ignore[arg-type]  # validated
    with pytest.raises(FileNotFoundError, match=r"b\.npz: no such file"):
        Npz("b.npz").read(tmp_path)  # type: ignore[arg-type]  # validated


@pytest.mark.parametrize("inside", [True, False])
def test_the_yaml_goes_to_the_checkout_that_one_stands_in_or_beside_what_else_is_new(
    inside: bool, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (Path.cwd() if inside else tmp_path / "checkout") / "configs"
    monkeypatch.setattr("regbench.config.composing.CONFIGS", place)
    write_folder(Path("photos"))
    ended = command("regbench", "new", "dataset", "photos")
    assert ended.status == 0, ended.err
    described = (place if inside else Path("my/configs")) / "dataset/photos.yaml"
    root = yaml.safe_load(described.read_text(encoding="utf-8"))["root"]
    assert root == ("data" if inside else str(Path("data").absolute()))
    following = "dataset=photos" if inside else "--config-dir my/configs dataset=photos"
    assert ended.out.endswith(f"Next: regbench train {following}\n")
