"""Rough figures about a run, known before it starts: what its checkpoints take, and what its GPU must hold at least."""

from typing import Any

from .values import Config

LEAST_DISK = 500_000_000
"""Bytes that must be free for a job whatever it trains: checkpoints, predictions on the labelled frames, the log."""
_CHECKPOINT_FILES = 3
"""best.ckpt, last.ckpt, and the copy of the best that is set aside when a run is stopped."""
_BYTES_A_PARAMETER = 12
"""A weight and the two moments of Adam, four bytes each."""
_PARAMETERS = {"tiny": 29_000_000, "small": 50_000_000, "base": 89_000_000, "large": 198_000_000}
"""Of ConvNeXt and Swin, by their published sizes."""
_DEEPEST = 12
_MOST = 10**12


def checkpoint_bytes(backbone: Config) -> int:
    """About what the checkpoints of a run take, from its ``backbone_config``."""
    return min(_MOST, _parameters(backbone)) * _BYTES_A_PARAMETER * _CHECKPOINT_FILES


def _parameters(backbone: Config) -> int:
    for kind, settings in backbone.items():
        if isinstance(settings, dict):
            if kind == "unet":
                return _unet_parameters(settings)
            return _PARAMETERS.get(str(settings.get("model_type")), _PARAMETERS["tiny"])
    return 0


def _unet_parameters(unet: Config) -> int:
    """Two convolutions a level on the way down and two on the way up, none wider than its level."""
    kernel, width, rate = (float(unet.get(key) or 1) for key in ("kernel_size", "filters", "filters_rate"))
    levels = min(_DEEPEST, max(1, int(unet.get("max_stride") or 1)).bit_length())
    widths = [width * min(rate, 64.0) ** level for level in range(levels)]
    return int(min(_MOST, 4 * kernel**2 * sum(width**2 for width in widths)))


def disk_problem(backbones: list[Config], free: int) -> str | None:
    """Why a job has no room, if it has none.

    Args:
        backbones: the ``backbone_config`` of each run.
        free: bytes that are free where jobs are kept.
    """
    needed = max(LEAST_DISK, sum(checkpoint_bytes(backbone) for backbone in backbones))
    if free >= needed:
        return None
    return (
        f"The worker's disk has {_gigabytes(free)} free for jobs, and the checkpoints of this one need about "
        f"{_gigabytes(needed)}. Choose another worker, ask its owner to make room, or train a smaller model."
    )


def memory_notice(config: Config, shape: tuple[int, int] | None, gpu_memory_mb: int | None) -> str | None:
    """A warning if not even the first layers of a UNet fit into the GPU.

    Counted are two activations of the first level in four-byte numbers for one batch, which is far less than a training
    takes: so there is no warning without a reason, and none does not mean that it fits.

    Args:
        config: the run's config, with all defaults.
        shape: height and width of the images that go into the model; None if they are not known.
        gpu_memory_mb: the GPU's memory in MiB; None if it is not known.
    """
    unet = config["model_config"]["backbone_config"].get("unet")
    loader = config["trainer_config"].get("train_data_loader") or {}
    if not unet or shape is None or gpu_memory_mb is None:
        return None
    least = 2 * 4 * _number(loader.get("batch_size")) * shape[0] * shape[1] * _number(unet.get("filters"))
    if least <= gpu_memory_mb * 1024**2:
        return None
    return (
        f"A batch of {loader.get('batch_size')} images of {shape[1]}x{shape[0]} needs more than {_gigabytes(least)} of "
        f"GPU memory, and this worker's GPU has {_gigabytes(gpu_memory_mb * 1024**2)}: the training will probably "
        "fail. Lower batch_size or preprocessing.scale."
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
