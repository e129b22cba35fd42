"""SLEAP's own monitor shows a training on another machine, and its stop button ends it."""

import asyncio

from sleap_rtc.protocol.jobs import JobState
from tests.client.monitors import Message, open_monitor
from tests.roles.conftest import Lab
from tests.roles.typing_client import Said, Typing


def ports(publish: int, controller: int) -> tuple[str, ...]:
    return ("--publish-port", str(publish), "--controller-port", str(controller))


def journal(command: Said, *kinds: str) -> list[dict[str, object]]:
    """What the command itself said of the training."""
    return [event for event in command.said("progress") if event["type"] in kinds]


def of_kind(messages: list[Message], event: str) -> list[Message]:
    return [message for message in messages if message["event"] == event]


async def test_the_monitor_is_told_what_the_trainer_told(lab: Lab) -> None:
    typing = Typing(lab, "auto")
    await typing.start_worker()
    typing.package(0)
    async with open_monitor() as monitor:
        listening = asyncio.ensure_future(monitor.until_end())
        command = await typing.run(*ports(monitor.publish, monitor.controller))
        messages = await listening
    assert command.code == 0, command.errors
    names = [message["event"] for message in messages]
    assert (names[0], names[-1]) == ("train_begin", "train_end")
    assert [message["epoch"] for message in of_kind(messages, "epoch_begin")] == [0, 1]
    # as the fake trainer sent them, field by field
    assert of_kind(messages, "epoch_end") == [
        {"what": "", "event": "epoch_end", "logs": {"val/loss": 1.0, "loss": 0.5}, "epoch": 0},
        {"what": "", "event": "epoch_end", "logs": {"val/loss": 0.5, "loss": 0.5, "train/loss": 0.7}, "epoch": 1},
    ]
    for step in of_kind(messages, "batch_end"):
        assert step["logs"]["loss"] == 1.0 / (step["batch"] + 1)
    steps = journal(command, "step")
    assert [message["batch"] for message in of_kind(messages, "batch_end")] == [event["batch"] for event in steps]
    assert b"epoch1" in typing.model
    assert "Nothing listens" not in command.errors


async def test_its_stop_button_ends_the_run_and_the_model_comes_home(lab: Lab) -> None:
    typing = Typing(lab, "auto")
    await lab.start_worker("endless")
    typing.package(0)
    async with (
        open_monitor() as monitor,
        typing.typed(*ports(monitor.publish, monitor.controller)) as command,
    ):
        await monitor.until(lambda message: message["event"] == "epoch_end" and message["epoch"] == 2)
        listening = asyncio.ensure_future(monitor.until_end())
        # an order for jsonpickle is none for us
        await monitor.say(b'{"command": {"py/reduce": [{"py/function": "os._exit"}, {"py/tuple": [1]}]}}')
        await monitor.stop()
        assert await command.ended() == 0
        await listening
    assert "SLEAP's monitor stops the training" in command.errors
    assert journal(command, "run_ended")[0]["outcome"] == "stopped"
    assert [event["state"] for event in journal(command, "state")][-1] == JobState.DONE
    assert b"epoch" in typing.model


async def test_a_training_watched_again_is_shown_from_its_beginning(lab: Lab) -> None:
    typing = Typing(lab, "auto")
    await lab.start_worker("endless")
    typing.package(0)
    async with typing.typed() as command:
        await command.until("progress", lambda event: event["type"] == "epoch_ended" and event["epoch"] == 2)
        command.kill()
    async with (
        open_monitor() as monitor,
        typing.typed(*ports(monitor.publish, monitor.controller)) as command,
    ):
        messages = list(await monitor.until(lambda message: message["event"] == "epoch_end" and message["epoch"] == 3))
        listening = asyncio.ensure_future(monitor.until_end())
        await monitor.stop()
        await command.ended()
        await listening
    assert messages[0]["event"] == "train_begin"
    assert [message["epoch"] for message in of_kind(messages, "epoch_end")] == [0, 1, 2, 3]
    assert lab.starts() == ["single_instance"]
