"""Predictions on their way home: under the names that the user meant, and into a copy of the user's labels."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.cli.following import OnBytes
from sleap_rtc.cli.formats import count
from sleap_rtc.cli.output import note
from sleap_rtc.client.labels_messages import Merged
from sleap_rtc.client.merging import Merging, name_input, predictions_by_input
from sleap_rtc.client.predictions import ModelsAndPredictions, Output
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.jobs import Verb


@dataclass(frozen=True)
class Home:
    """Where predictions go, and what becomes of them there.

    Attributes:
        inputs: what was looked at, in the order of the job's runs; None for what is not on this machine.
        output: what their predictions are called.
        merging: what they are merged into.
        models: where the models go that the same job has trained before.
    """

    inputs: Sequence[Path | None]
    output: Output
    merging: Merging | None
    models: Path | None = None

    async def bring(self, job: RemoteJob, on_bytes: OnBytes) -> Sequence[Path]:
        """Fetch a job's results; return where they are.

        Raises:
            SleapRTCError: as `RemoteJob.fetch` and `Merging.run` do.
        """
        runs = [run.name for run in job.summary.runs if run.verb is Verb.TRACK]
        layout = self.output.layout(runs)
        if self.models is None:
            places = predictions = await job.fetch(self.output.folder, on_bytes, layout=layout)
        else:
            both = ModelsAndPredictions(frozenset(runs), layout, self.output.folder)
            places = await job.fetch(self.models, on_bytes, layout=both)
            predictions = await asyncio.to_thread(_files, places)
        await self._name_inputs(predictions)
        if self.merging is None or not predictions:
            return places
        target, merged = await self.merging.run(predictions_by_input(predictions, self.output.names))
        note(merged_text(target, merged))
        return [*places, target]

    async def _name_inputs(self, places: Sequence[Path]) -> None:
        """Let predictions name what was looked at as it is called here: then SLEAP finds it."""
        for local, name in zip(self.inputs, self.output.names, strict=True):
            found = next((place for place in places if place.name == name), None)
            if found is not None and local is not None:
                try:
                    await name_input(found, local)
                except PackageError as error:
                    note(f"{found} names the worker's files still. {error.sentence}")


def merged_text(target: Path, merged: Merged) -> str:
    """Say what of the predictions is in a copy of labels."""
    kept = f"{count(merged.kept, 'frame')} that a user has labelled stayed as they are" if merged.kept else ""
    if kept and not merged.frames:
        return f"None of the predictions are in {target}: {kept}."
    return f"The predictions of {count(merged.frames, 'frame')} are in {target}{kept and f'; {kept}'}."


def _files(places: Sequence[Path]) -> list[Path]:
    return [place for place in places if place.is_file()]
