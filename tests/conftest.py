"""Settings all tests share."""

import os
import signal
import threading

# what a shell starts in the background ignores Ctrl-C, and hands that on to all that tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# hundreds of programs are started: none shall compile again what another one has compiled
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# nor look through all packages for plugins of pydantic: there are none
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# a worker of a test imports sleap-nn only if the test says so: it takes a processor for a quarter of a minute
os.environ.setdefault("SLEAP_RTC_WORKER_WARM", "false")

# a test is about something else than how full this machine's disk is
os.environ.setdefault("SLEAP_RTC_WORKER_MIN_FREE_BYTES", "0")

# nor does any read or write the keyring of whoever runs them; and no secret of theirs is one of a test's room
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
os.environ.pop("SLEAP_RTC_ROOM_SECRET", None)

# there is a process of tests for each of two processors and two for while others wait, for a program that starts or a
# link that is silent: threads would only fight with them
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own files: neither those of our home nor a `sleap-rtc.toml` beside it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SLEAP_RTC_HOME", str(home / ".sleap-rtc"))


@pytest.fixture(scope="session")
def real_labels(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twelve labelled frames of a three-node animal, as SLEAP embeds them."""
    np, sio = pytest.importorskip("numpy"), pytest.importorskip("sleap_io")
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    points = random.uniform(24, 72, (12, 3, 2))
    images = np.zeros((12, 96, 96, 1), "uint8")
    for frame, nodes in enumerate(points):
        for (x, y), brightness in zip(nodes, (250, 170, 110), strict=True):
            blob = brightness * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
            images[frame, ..., 0] = np.maximum(images[frame, ..., 0], blob.astype("uint8"))
    folder = tmp_path_factory.mktemp("labels")
    sio.save_video(images.repeat(3, axis=-1), str(folder / "a.mp4"))
    video = sio.load_video(str(folder / "a.mp4"))
    skeleton = sio.Skeleton(nodes=["head", "mid", "tail"], edges=[("head", "mid"), ("mid", "tail")])
    frames = [
        sio.LabeledFrame(
            video=video, frame_idx=i, instances=[sio.Instance.from_numpy(points_data=nodes, skeleton=skeleton)]
        )
        for i, nodes in enumerate(points)
    ]
    sio.Labels(frames).save(str(folder / "labels.pkg.slp"), embed="user", verbose=False)
    return (folder / "labels.pkg.slp").read_bytes()
