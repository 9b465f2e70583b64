"""Export of a trained network as a `torch.export` program or as ONNX, both for any batch size.

Both take images `(N, C, S, S)` in [0, 1] and return logits `(N, C)`; normalization is inside. Class
names and where the network comes from travel with the file as metadata.
"""

import copy
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from regbench import __version__
from regbench.data import ImageData
from regbench.runs.loading import TrainedRun
from regbench.storage.files import replace_file

PROGRAM, ONNX = "model.pt2", "model.onnx"
METADATA = "metadata.json"


def metadata(trained: TrainedRun) -> dict[str, str]:
    """Return what an exported file tells about itself; `classes` and `metrics` are JSON."""
    data, results = trained.data, trained.results
    return {
        "classes": json.dumps(data.classes),
        "input": _input(data),
        "output": "logits (N, classes)",
        **{key: str(getattr(results, key)) for key in ("dataset", "model", "setting", "seed", "config_hash")},
        "metrics": json.dumps(results.metrics),
        "regbench": __version__,
    }


def write_exports(trained: TrainedRun, folder: Path, names: Sequence[str] = (PROGRAM, ONNX)) -> list[Path]:
    """Write the network in each form, atomically.

    Args:
        trained: A finished run.
        folder: Made if missing.
        names: `model.pt2`, `model.onnx` or both.

    Returns:
        The files.

    Raises:
        ValueError: The packages that ONNX needs are missing.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if ONNX in names and missing:
        raise ValueError(f"{ONNX}: needs {' and '.join(missing)}: pip install {' '.join(missing)}, or --format pt2")
    program = _program(trained)
    told = metadata(trained)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write = _write_onnx if name == ONNX else _write_program
        replace_file(folder / name, lambda target, write=write: write(program, told, target))  # type: ignore[misc]  # write is bound early
    return [folder / name for name in names]


def _input(data: ImageData) -> str:
    """Say what images the network takes."""
    ground = ", light on dark" if data.channels == 1 and data.light_on_dark else ""
    order = ", red, green, blue" if data.channels == 3 else ""
    return f"images (N, {data.channels}, {data.image_size}, {data.image_size}) in [0, 1]{order}{ground}"


def _program(trained: TrainedRun) -> torch.export.ExportedProgram:
    # The exporters expect weights in rows; training keeps them channels last.
    net = copy.deepcopy(trained.net).eval().to(memory_format=torch.contiguous_format)
    channels, side = trained.data.channels, trained.data.image_size
    # Two images, since a batch of one would be taken as fixed.
    return torch.export.export(net, (torch.zeros(2, channels, side, side),), dynamic_shapes=(_ANY_BATCH,))


_ANY_BATCH = {0: torch.export.Dim("batch", min=1)}


def _write_program(program: torch.export.ExportedProgram, told: dict[str, str], target: Path) -> None:
    with target.open("wb") as file:  # by name it would want .pt2 at the end
        torch.export.save(program, file, extra_files={METADATA: json.dumps(told)})


def _write_onnx(program: torch.export.ExportedProgram, told: dict[str, str], target: Path) -> None:
    exported = torch.onnx.export(
        program,
        dynamo=True,
        dynamic_shapes=(_ANY_BATCH,),
        input_names=["images"],
        output_names=["logits"],
        verbose=False,
    )
    if exported is None:
        raise RuntimeError("torch.onnx.export returned no program")
    exported.model.metadata_props.update(told)
    exported.save(target)
