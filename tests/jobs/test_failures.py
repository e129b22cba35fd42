"""Failures that users meet, in the words of sleap-nn, torch, Lightning, NumPy and W&B, become sentences with advice."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sleap_rtc.jobs import runner
from sleap_rtc.jobs.failures import Reported, explain, rank_failed

MET = [
    (
        "OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 23.69 GiB of which 5.69 MiB is "
        "free.",
        "CUDA out of memory",
        "Lower batch_size",
    ),
    (
        "RuntimeError",
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 137438953472 bytes. Error code 12 (Cannot allocate memory)",
        "the worker's memory was not enough",
        "Lower batch_size",
    ),
    (
        "_ArrayMemoryError",
        "Unable to allocate 8.00 TiB for an array with shape (1048576, 1048576) and data type float64",
        "the worker's memory was not enough",
        "do not cache images",
    ),
    ("MemoryError", "", "the worker's memory was not enough", "Lower batch_size"),
    (
        "RuntimeError",
        "DataLoader worker (pid 4711) is killed by signal: Killed. ",
        "the worker's memory was not enough",
        "fewer data loading workers",
    ),
    (
        "RuntimeError",
        "DataLoader worker (pid 4711) is killed by signal: Bus error. It is possible that dataloader's workers are out "
        "of shared memory. ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient "
        "shared memory (shm).",
        "the worker's shared memory was not enough",
        "Set num_workers to 0",
    ),
    (
        "ValueError",
        "No labeled frames available for train: none of the labeled frame(s) in the provided train labels contain "
        "user-labeled data usable by this model.",
        "the labels hold no frame that this model can train on",
        "label some frames by hand",
    ),
    (
        "ValueError",
        "CentroidDataset has no training samples: none of the 3 labeled frame(s) in the provided labels contain "
        "user-labeled data usable by this model.",
        "the labels hold no frame that this model can train on",
        "Predicted instances and suggested frames do not count",
    ),
    (
        "ValueError",
        "The skeletons in the training labels: 2 do not match the skeleton in the first training label file.",
        "the labels files have different skeletons",
        "the same nodes and edges",
    ),
    (
        "RuntimeError",
        "Error(s) in loading state_dict for SingleInstanceLightningModule:\n\tsize mismatch for "
        "model.backbone.enc.encoder_stack.0.blocks.0.weight: copying a param with shape torch.Size([16, 3, 3, 3]) from "
        "checkpoint, the shape in current model is torch.Size([8, 1, 3, 3]).",
        "the weights to start from belong to a model of another shape",
        "take its training_config.yaml as the beginning",
    ),
    (
        "RuntimeError",
        'Error(s) in loading state_dict for CentroidLightningModule:\n\tMissing key(s) in state_dict: "model.head".',
        "the checkpoint does not belong to this model",
        "pretrained_backbone_weights",
    ),
    ("KeyError", "'state_dict'", "the checkpoint does not belong to this model", "its own checkpoint"),
    (
        "RuntimeError",
        "Given groups=1, weight of size [8, 1, 3, 3], expected input[4, 3, 96, 96] to have 1 channels, but got 3 "
        "channels instead",
        "the images have another number of channels than the model",
        "ensure_grayscale",
    ),
    (
        "FileNotFoundError",
        "Checkpoint file not found: /job/inputs/last.ckpt",
        "cannot be found",
        "Submit again with the file",
    ),
    (
        "FileNotFoundError",
        "[Errno 2] No such file or directory: '/job/inputs/best.ckpt'",
        "cannot be found",
        "Submit again with the file",
    ),
    (
        "RuntimeError",
        "PytorchStreamReader failed reading zip archive: failed finding central directory",
        "are damaged",
        "Copy the file again",
    ),
    (
        "ModuleNotFoundError",
        "No module named 'onnxscript'",
        "what ONNX needs is not installed",
        'pip install "sleap-rtc[export]"',
    ),
    ("ModuleNotFoundError", "No module named 'tensorrt'", "TensorRT is not installed", "export as onnx"),
    (
        "ClickException",
        "Model type 'segmentation' is not supported for export yet.",
        "cannot export a model of this kind",
        "as it was trained",
    ),
    ("UnpicklingError", "invalid load key, 'v'.", "are damaged", "Copy the file again"),
    (
        "KeyError",
        "Trying to restore optimizer state but checkpoint contains only the model. This is probably due to "
        "`ModelCheckpoint.save_weights_only` being set to `True`.",
        "holds weights alone",
        "last.ckpt",
    ),
    (
        "DistBackendError",
        "NCCL error in: ProcessGroupNCCL.cpp:2395, unhandled system error, NCCL version 2.21.5",
        "could not talk to one another",
        "--devices 1",
    ),
    (
        "AuthenticationError",
        "WANDB_API_KEY invalid: API key must have 40+ characters, has 12.",
        "Weights & Biases did not take the run",
        "Check WANDB_API_KEY",
    ),
    (
        "AuthenticationError",
        "Failed to authenticate with https://api.wandb.ai: permission denied",
        "Weights & Biases did not take the run",
        "entity and project",
    ),
    (
        "CommError",
        "Error uploading run: returned error 403: permission denied",
        "Weights & Biases did not take the run",
        "without --wandb",
    ),
    ("OSError", "[Errno 28] No space left on device", "the worker's disk is full", "Ask its operator"),
]


@pytest.mark.parametrize(("kind", "message", "happened", "advice"), MET)
def test_a_failure_that_users_meet_says_what_to_do(kind: str, message: str, happened: str, advice: str) -> None:
    sentence = explain("one", 1, Reported(kind, message), [])
    assert sentence.startswith("Run 'one' failed: ")
    told, _, rest = sentence.partition(" (exit code 1). ")
    assert happened in told
    assert advice in rest


def test_a_failure_that_nobody_knows_is_quoted() -> None:
    said = explain("one", 1, Reported("ValueError", "the layers\n do not fit"), ["a line"])
    assert said == "Run 'one' failed: ValueError: the layers do not fit (exit code 1)."


def test_a_process_that_was_ended_for_its_memory_tells_it_in_the_log() -> None:
    line = "RuntimeError: DataLoader worker (pid 4711) is killed by signal: Killed."
    assert "the worker's memory was not enough (exit code -9)" in explain("one", -9, None, ["Epoch 3", line])


def test_a_process_that_joined_a_training_leaves_word_of_its_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(runner.SleapNN):
        def join(self, config: Path, arguments: Sequence[str] = ()) -> int:
            raise ValueError(f"cannot read {config}")

    monkeypatch.setattr(runner, "die_with_parent", lambda: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert runner.join(Failing(), Path("config.yaml")) == 1
    log = capsys.readouterr().err.splitlines()
    assert explain("one", -9, None, log) == "Run 'one' failed: ValueError: cannot read config.yaml (exit code -9)."


def test_of_several_processes_the_one_that_failed_is_quoted_and_not_those_that_missed_it() -> None:
    log = ["Traceback …", rank_failed("1", "ValueError", "the layers\ndo not fit"), "Connection closed by peer"]
    alone = "Run 'one' failed: ValueError: the layers do not fit"
    assert (
        explain("one", 1, Reported("DistBackendError", "Connection closed by peer"), log) == f"{alone} (exit code 1)."
    )
    assert explain("one", -9, None, log) == f"{alone} (exit code -9)."
