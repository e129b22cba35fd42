"""``python -m sleap_rtc.jobs.supervisor [JOB_FOLDER]``: sees one job through, whatever becomes of the worker.

It claims the job, runs its runs in order, journals what happens, obeys the commands left in ``control/``, and ends
everything that the job started. Nothing runs twice: who finds the job claimed leaves at once.

Without a folder it is warm: it starts a runner and waits to be told the folder; see `sleap_rtc.jobs.waiting`.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sleap_rtc.errors import SleapRTCError
from sleap_rtc.jobs.attempts import Past, past
from sleap_rtc.jobs.bounds import Bounds
from sleap_rtc.jobs.checkpoints import Remains
from sleap_rtc.jobs.environment import job_environment, wandb_environment
from sleap_rtc.jobs.events import Journal, read_events
from sleap_rtc.jobs.files import remove_tree
from sleap_rtc.jobs.folder import ExitRecord, JobFolder, RunResult, StateRecord
from sleap_rtc.jobs.heartbeat import Heartbeat
from sleap_rtc.jobs.log_writer import LogWriter
from sleap_rtc.jobs.processes import adopt_orphans, kill_descendants
from sleap_rtc.jobs.run import RunSupervision
from sleap_rtc.jobs.runners import Runners
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.jobs.waiting import Told, wait_for_job
from sleap_rtc.jobs.work import Work, work_of
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.jobs import JobState, Notice, Run, StateChanged, Verb, check_transition


class Supervisor:
    """Looks after one job.

    Args:
        folder: the job's folder, staged and queued.
        settings: times, limits, and the command that starts a runner.
        runners: where runners come from, if one was started already.
        wandb_key: the submitter's key for Weights & Biases; in this process and the job's own, and nowhere else.
    """

    def __init__(
        self,
        folder: JobFolder,
        settings: SupervisorSettings,
        runners: Runners | None = None,
        wandb_key: str | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._runners = runners or Runners(settings)
        self._wandb = wandb_environment(wandb_key) if wandb_key else {}
        self._state = JobState.QUEUED
        self._attempt = 1
        self._results: list[RunResult] = []
        self._error: ErrorInfo | None = None

    def run(self) -> bool:
        """See the job through; False if it was somebody else's."""
        self._identity = self._runners.supervisor.model_copy(update={"heartbeat": time.time()})
        if not self._folder.claim(self._identity):
            return False
        self._attempt = self._folder.state().attempt
        settings = self._settings
        self._heartbeat = Heartbeat(self._folder, self._identity, settings.heartbeat)
        log = LogWriter(self._folder.log, max_size=settings.max_log, max_line=settings.max_line, tail=settings.tail)
        try:
            with Journal(self._folder.events) as self._journal:
                try:
                    self._see_through(log)
                except SleapRTCError as error:
                    kill_descendants()
                    self._fail(error)
        finally:
            kill_descendants()
            self._heartbeat.stop()
            self._runners.close()
            log.close()
        return True

    def _see_through(self, log: LogWriter) -> None:
        self._enter(JobState.STARTING)
        spec = self._folder.spec()
        runs = spec.runs
        wandb = not spec.options.wandb or bool(self._wandb)
        if not wandb:
            self._say_without_wandb()
        before = past(read_events(self._folder.events))
        with Bounds(self._folder, self._settings, self._identity) as self._bounds:
            for index, run in enumerate(runs, 1):
                if not self._take_over(run, before):
                    if self._command() is None:
                        work = work_of(self._folder, run, resumed=run.name in before.began, wandb=wandb)
                        self._run_one(index, len(runs), work, log, before)
                    if self._results and self._results[-1].outcome != "done":
                        break
        self._finish()

    def _say_without_wandb(self) -> None:
        text = (
            "Weights & Biases is off: your key is kept in memory alone, and the worker was started again, or the job "
            "resumed, since you gave it. The training goes on without."
        )
        self._journal.append(Notice(text=text))

    def _take_over(self, run: Run, before: Past) -> bool:
        """Take a run as an earlier attempt left it: one that was done, or that nothing more is to be done about."""
        ended = before.ends.get(run.name)
        if ended is None or ended.folder is None or (ended.outcome != "done" and self._command() != "stop"):
            return False
        outcome = "done" if ended.outcome == "done" else "stopped"
        self._results.append(RunResult(name=run.name, outcome=outcome, folder=ended.folder))
        return True

    def _run_one(self, index: int, count: int, work: Work, log: LogWriter, before: Past) -> None:
        run = work.run
        ended = before.ends.get(run.name)
        _, devices = self._folder.devices()
        supervision = RunSupervision(
            work, settings=self._settings, journal=self._journal, log=log,
            runners=self._runners, bounds=self._bounds, network=bool(self._wandb),
            environment=job_environment(self._folder.scratch, devices[: run.devices]) | self._wandb,
            kept=ended is not None and ended.folder is not None,
            # an inference is short beside the import, and leaves memory for it as a training may not
            ahead=run.verb is Verb.TRACK and index < count,
        )  # fmt: skip

        def begin() -> None:
            if self._state is JobState.STARTING:
                self._enter(JobState.RUNNING)
            supervision.announce(index, count)

        result, self._error = supervision.see_through(self._command, begin)
        self._results.append(result)

    def _command(self) -> str | None:
        commands = self._folder.commands()
        return next((command for command in ("cancel", "stop") if command in commands), None)

    def _finish(self) -> None:
        """Decide, once, how the job ended; what it wrote is settled before anybody is told."""
        command = self._command()
        outcomes = {result.outcome for result in self._results}
        kept = any(result.folder for result in self._results)
        if "cancelled" in outcomes or (command == "cancel" and len(outcomes - {"done"}) == 0):
            remove_tree(self._folder.models)
            remove_tree(self._folder.before)
            end = JobState.CANCELLED
        elif "failed" in outcomes:
            end = JobState.FAILED
        elif command == "stop" and not kept:
            self._journal.append(Notice(text="The job was stopped before there was anything to bring home."))
            end = JobState.CANCELLED
        else:
            self._enter(JobState.FINISHING)
            end = JobState.DONE
        self._clear()
        self._heartbeat.stop()
        error = self._error if end is JobState.FAILED else None
        self._folder.write_exit(ExitRecord(state=end, runs=tuple(self._results), error=error))
        self._enter(end, error)

    def _clear(self) -> None:
        """Remove what only a job that runs needs."""
        remove_tree(self._folder.scratch)
        remove_tree(self._folder.kept)

    def _fail(self, error: SleapRTCError) -> None:
        """End the job with what went wrong in here, where the end is not written yet."""
        if self._state.ended:
            raise error
        with suppress(SleapRTCError):  # a model of an earlier attempt can be fetched all the same
            for run in self._folder.spec().runs:
                Remains(self._folder, run.name).merge()
        self._clear()
        self._heartbeat.stop()
        info = ErrorInfo(code="job_failed", sentence=f"The job failed: {error.sentence}")
        self._folder.write_exit(ExitRecord(state=JobState.FAILED, runs=tuple(self._results), error=info))
        self._enter(JobState.FAILED, info)

    def _enter(self, state: JobState, error: ErrorInfo | None = None) -> None:
        check_transition(self._state, state)
        event = self._journal.append(StateChanged(state=state, error=error, attempt=self._attempt), durable=True)
        self._state = state
        self._folder.write_state(StateRecord(state=state, t=event.t, error=error, attempt=self._attempt))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the supervisor of the job folder named on the command line, or of the one that comes on standard input."""
    parser = argparse.ArgumentParser(prog="sleap_rtc.jobs.supervisor")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--settings", type=SupervisorSettings.from_json, default=SupervisorSettings())
    options = parser.parse_args(arguments)
    os.umask(0o077)
    adopt_orphans()
    runners = Runners(options.settings)
    try:
        # a worker that starts one with a folder says on standard input what else there is, and somebody by hand nothing
        told = (Told.read() or Told(options.folder, None)) if options.folder else wait_for_job(runners)
        if told is not None:
            folder = JobFolder(told.folder.resolve())
            Supervisor(folder, options.settings, runners, told.wandb_key).run()
    except SleapRTCError as error:
        # standard error is control/supervisor.log; the worker finds the job without a supervisor and says so
        print(error.sentence, file=sys.stderr)  # noqa: T201
        return error.exit_code
    finally:
        # a runner that was started ahead for a job that did not come, or was somebody else's
        kill_descendants()
        runners.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
