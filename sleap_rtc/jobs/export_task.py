"""An export: one run, which writes a model of the room in another format."""

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.jobs import Run, Verb

from .folder import JobFolder
from .plan import Plan
from .task_file import TaskFile
from .trained import check_models, is_exported, room_model_folders


class ExportTask(TaskFile):
    """One model, to be written in another format.

    Attributes:
        models: its folders, below the job's folder.
        arguments: what else sleap-nn's ``export`` is told.
    """

    models: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def stage_export(folder: JobFolder, options: ExportOptions) -> Plan:
    """Write down what an export does.

    Args:
        folder: the job's, with the model in ``inputs/``.
        options: what was asked for.

    Raises:
        PackageError: if the model is not there, or is one that was exported.
    """
    models = room_model_folders(folder)
    check_models(models)
    if any(map(is_exported, models)):
        raise PackageError("That model is an exported one already. Export the version that was trained.")
    words = [("--format", options.format), ("--device", "cuda" if options.format == "tensorrt" else "cpu")]
    if options.max_instances is not None:
        words.append(("--max-instances", str(options.max_instances)))
    if options.max_batch_size is not None:
        words.append(("--max-batch-size", str(options.max_batch_size)))
    task = ExportTask(
        models=tuple(path.relative_to(folder.path).as_posix() for path in models),
        arguments=tuple(word for pair in words for word in pair),
    )
    file = folder.task_of(options.format)
    task.write(file)
    run = Run(name=options.format, verb=Verb.EXPORT, config=file.relative_to(folder.path).as_posix())
    return Plan((run,), ())
