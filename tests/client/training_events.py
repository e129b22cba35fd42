"""A short training as events."""

from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, Event, EventBody, RunEnded, RunStarted, Step


def whole_training() -> list[EventBody]:
    """Two epochs of one run."""
    return [
        RunStarted(index=1, runs=1, model_type="centroid"),
        EpochStarted(epoch=0),
        Step(epoch=0, batch=0, metrics={"loss": 0.5}),
        Step(epoch=0, batch=7, metrics={"loss": 0.25}),
        EpochEnded(epoch=0, metrics={"loss": 0.25, "val/loss": 0.5}),
        EpochStarted(epoch=1),
        # what has not changed since the epoch's end is left out of events
        Step(epoch=1, batch=0, metrics={"loss": 0.125}),
        EpochEnded(epoch=1, metrics={"loss": 0.125, "val/loss": 0.25, "train/loss": 0.375}),
        RunEnded(outcome="done", folder="centroid"),
    ]


def numbered(*bodies: EventBody) -> list[Event]:
    """Events with these bodies, from 1 on."""
    return [Event(seq=number, t=number, run="centroid", body=body) for number, body in enumerate(bodies, 1)]
