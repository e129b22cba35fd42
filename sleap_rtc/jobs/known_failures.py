"""What sleap-nn, torch and W&B say when a training cannot go on, and what its submitter can do about it.

The advice is that of sleap-nn's documentation. The patterns are taken from the messages of the versions that we pin; a
message that no longer fits is quoted as it is.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A failure that users meet.

    Attributes:
        signs: what is said when it happens.
        happened: the same, for a person.
        advice: what to do, in sentences.
    """

    signs: re.Pattern[str]
    happened: str
    advice: str


def _known(signs: str, happened: str, advice: str) -> Known:
    return Known(re.compile(signs), happened, advice)


_SMALLER = "Lower batch_size, use a smaller model (filters, max_stride, input scale) or fewer data loading workers"

MEMORY = (
    _known(
        "CUDA out of memory|CUDA error: out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED",
        "CUDA out of memory",
        f"{_SMALLER}, and submit again.",
    ),
    _known(
        r"DefaultCPUAllocator: can't allocate memory|DefaultCPUAllocator: not enough memory|MemoryError:|"
        r"DataLoader worker \(pid \d+\) is killed by signal: Killed",
        "the worker's memory was not enough",
        f"{_SMALLER}, or do not cache images in memory (data_config.data_pipeline_fw), and submit again.",
    ),
    _known(
        r"insufficient shared memory \(shm\)|unable to (allocate|open|mmap|resize) .*shared memory",
        "the worker's shared memory was not enough",
        "Set num_workers to 0, or lower it. In a container, its operator can give it more: docker run --shm-size.",
    ),
)
"""These are looked for in the log as well: what ends the process leaves no exception."""

KNOWN = (
    _known(
        r"^bwrap: ",
        "the worker's sandbox could not be made",
        "Nothing of the job was run. Ask the worker's owner to run 'sleap-rtc doctor' there and start the worker "
        "again, or choose another worker.",
    ),
    _known(
        r"Weights only load failed",
        "a checkpoint holds more than weights",
        "Such a file can run code when it is loaded, so workers load weights alone. Send a checkpoint as sleap-nn "
        "writes it.",
    ),
    _known(
        r"No module named 'onnx\w*'|[Oo]nnx\w* is not installed",
        "what ONNX needs is not installed beside the worker",
        'Ask its owner to install it there: `pip install "sleap-rtc[export]"`. Then export again.',
    ),
    _known(
        r"No module named '(torch_)?tensorrt|TensorRT is not installed",
        "TensorRT is not installed beside the worker",
        "Ask its owner to install NVIDIA's package `tensorrt` there, or export as onnx, which runs on any GPU.",
    ),
    _known(
        r"not supported for export|cannot be exported|Unsupported model type",
        "sleap-nn cannot export a model of this kind",
        "Use it as it was trained: workers run such models, too.",
    ),
    _known(
        r"No labeled frames available for|has no training samples: none of the",
        "the labels hold no frame that this model can train on",
        "Predicted instances and suggested frames do not count: label some frames by hand, and check "
        "validation_fraction, which takes its share of them.",
    ),
    _known(
        r"The skeletons in the training labels: \d+ do not match",
        "the labels files have different skeletons",
        "Give all of them the same nodes and edges in SLEAP, or train on the files that share a skeleton.",
    ),
    _known(
        r"size mismatch for .*copying a param with shape",
        "the weights to start from belong to a model of another shape",
        "Backbone (filters, filters_rate, max_stride, output_stride), input channels and part names must be those of "
        "the model the weights come from: take its training_config.yaml as the beginning, or start without weights.",
    ),
    _known(
        r"(Missing|Unexpected) key\(s\) in state_dict|KeyError: '?state_dict|"
        r"loaded state dict (contains a parameter group|has a different number)",
        "the checkpoint does not belong to this model",
        "To go on with a training, take the same config and its own checkpoint; to start another one from it, name the "
        "file as pretrained_backbone_weights and pretrained_head_weights instead.",
    ),
    _known(
        r"expected input\[.*\] to have \d+ channels, but got \d+ channels",
        "the images have another number of channels than the model",
        "Set data_config.preprocessing.ensure_rgb or ensure_grayscale to what the model, or the weights it starts "
        "from, was trained on.",
    ),
    _known(
        r"Checkpoint file not found|No such file or directory: '[^']*\.(ckpt|h5)'|"
        r"Unsupported file extension for pretrained",
        "the checkpoint or weights to start from cannot be found, or are no .ckpt or .h5 file",
        "Submit again with the file, under the name that the config calls it.",
    ),
    _known(
        r"PytorchStreamReader failed|invalid load key|unexpected EOF, expected \d+ more bytes|Ran out of input|"
        r"file signature not found",
        "the checkpoint or weights to start from are damaged",
        "Copy the file again from where it was trained, or start from another one.",
    ),
    _known(
        r"contains only the model\.",
        "the checkpoint holds weights alone, so that a training cannot go on from it",
        "Go on from the last.ckpt of that training, or start from these weights: pretrained_backbone_weights and "
        "pretrained_head_weights.",
    ),
    _known(
        r"NCCL error|ProcessGroupNCCL|ncclUnhandledCudaError|ncclSystemError",
        "the GPUs of this worker could not talk to one another",
        "Train on one: --devices 1.",
    ),
    _known(
        "AuthenticationError: |CommError: |UsageError: .*(?i:api[ _]key)",
        "Weights & Biases did not take the run",
        "Check WANDB_API_KEY, and entity and project in trainer_config.wandb; or submit without --wandb.",
    ),
    _known(
        r"\[Errno 27\] File too large",
        "one file was larger than this worker lets a job write",
        "Keep fewer images in one file (data_config.data_pipeline_fw), or ask the worker's owner to raise "
        "worker.max_job_bytes.",
    ),
    _known(
        r"No space left on device|Disk quota exceeded",
        "the worker's disk is full",
        "Ask its operator to make room, or do not cache images on disk (data_config.data_pipeline_fw).",
    ),
)
