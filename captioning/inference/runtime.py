"""Which library computes a checkpoint's captions, where, and in which precision."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.util import find_spec

from captioning.checkpoint import CheckpointInfo
from captioning.config import TORCH_PRECISIONS
from captioning.errors import CaptioningError, CheckpointError, shown
from captioning.inference.backend import Backend

ONNX_RUNTIME, PYTORCH = "ONNX Runtime", "PyTorch"
GPUS = ("cuda", "mps")


@dataclass(frozen=True)
class Runtime:
    """What computes captions.

    Attributes:
        library: ONNX_RUNTIME or PYTORCH.
        device: torch's name of it, or of an ONNX Runtime provider; `cpu` in both.
        precision: in PyTorch of the encoder, in ONNX Runtime of the graphs.
    """

    library: str
    device: str
    precision: str

    def describe(self) -> str:
        """All three in a line."""
        return f"{self.library}, {self.device}, {self.precision}"


def choose_runtime(info: CheckpointInfo, device: str = "auto", precision: str | None = None) -> Runtime:
    """What is to compute a checkpoint's captions.

    Args:
        info: of the checkpoint.
        device: `cuda` or `mps` means PyTorch, `cpu` ONNX Runtime (PyTorch if the file has no graphs). `auto` takes a
            GPU where PyTorch finds one, else the CPU. A provider of ONNX Runtime can be named as well.
        precision: one of TORCH_PRECISIONS in PyTorch, by default float16 on a GPU; in ONNX Runtime one of the file's
            graphs, by default the first.

    Raises:
        CheckpointError: the file has no graphs, and PyTorch is not installed.
        CaptioningError: there is no such device, or it cannot compute in this precision.
    """
    device = (_gpu() or "cpu") if device == "auto" else device
    if device not in GPUS and (device != "cpu" or info.graph_precisions):
        return _choose_onnx(info, device, precision)
    if find_spec("torch") is None:
        cause = f"{device} is a device of PyTorch" if device in GPUS else f"{shown(info.path.name)} has no graphs"
        raise CheckpointError(f"{cause}, which is not installed: pip install -r requirements-train.txt.")
    precision = precision or ("float32" if device == "cpu" else "float16")
    if precision not in TORCH_PRECISIONS:
        raise CaptioningError(f"PyTorch does not compute in {precision} here: choose {', '.join(TORCH_PRECISIONS)}.")
    return Runtime(PYTORCH, device, precision)


def open_backend(info: CheckpointInfo, runtime: Runtime, *, single_thread: bool = False) -> Backend:
    """A checkpoint's model, ready to caption.

    Args:
        info: of the checkpoint.
        runtime: what `choose_runtime` chose.
        single_thread: compute on the thread that asks, unless the process has the pool already; otherwise all threads
            that ask share a pool; see `thread_count`.

    Raises:
        CheckpointError: the file is not sound.
        CaptioningError: PyTorch finds no such device.
    """
    # Here, so that nobody waits for the library that is not used.
    if runtime.library == PYTORCH:
        from captioning.inference.torch_backend import load_backend
    else:
        from captioning.inference.onnx_backend import load_backend
    return load_backend(info, runtime.device, runtime.precision, threads=1 if single_thread else thread_count())


def thread_count() -> int:
    """How many threads compute a photo: one a core, or as many as OMP_NUM_THREADS says where these are fewer."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(core_count(), int(limit)) if limit.isdecimal() and int(limit) else core_count()


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _choose_onnx(info: CheckpointInfo, device: str, precision: str | None) -> Runtime:
    if device != "cpu":
        import onnxruntime

        providers = onnxruntime.get_available_providers()
        if device not in providers:
            raise CaptioningError(
                f"There is no device {shown(device)}: choose auto, cpu, {', '.join([*GPUS, *providers])}."
            )
    precisions = info.graph_precisions
    if not precisions or precision not in (None, *precisions):
        raise CaptioningError(
            f"{shown(info.path.name)} has no graphs in {precision or 'any precision'}: choose "
            f"{' or '.join(precisions) or 'another device'}, or make them with python -m captioning optimize."
        )
    return Runtime(ONNX_RUNTIME, device, precision or precisions[0])


def _gpu() -> str | None:
    """A GPU that PyTorch finds; PyTorch is not imported where nothing speaks for one."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    if find_spec("torch") is None or not (apple or shutil.which("nvidia-smi")):
        return None
    from captioning.inference.torch_backend import find_gpu

    return find_gpu()
