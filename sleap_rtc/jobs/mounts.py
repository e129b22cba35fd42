"""Folders of this machine that jobs may name, and the way to a file in one of them that never leaves it."""

import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from sleap_rtc.config.paths import home
from sleap_rtc.config.schema import Mount
from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import printable

from .below import NotThereError, check_file, folder_below, is_file_below

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
"""At least two characters: one alone would be a drive of Windows."""
_NAMED = re.compile(rf"({LABEL.pattern}):(/.*)", re.DOTALL)
_MOST_PARTS = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OTHERWISE = "send the videos (--send-videos) or their labelled frames (--embed-frames)"


class Mounts:
    """What jobs may read beside their own files.

    Args:
        roots: where each label's folder is; a link of the operator's own is followed, here and nowhere else.
        writable: the labels of those that jobs may write to.
    """

    def __init__(self, roots: Mapping[str, Path] | None = None, writable: Collection[str] = ()) -> None:
        self._written = dict(roots or {})
        self.writable = frozenset(writable)
        self._real = {label: path.resolve() for label, path in self._written.items()}

    @property
    def roots(self) -> dict[str, Path]:
        """Where each label's folder really is."""
        return dict(self._real)

    @property
    def labels(self) -> list[tuple[str, bool]]:
        """What clients may know of them: each label, and whether jobs may write there."""
        return [(label, label in self.writable) for label in sorted(self._real)]

    def find(self, text: str, *, folder: bool = False) -> Path:
        """The file, or folder, that a submitter means by ``label:/path``, or by an absolute path under a mount. Blocks.

        Raises:
            ConfigError: if it is nowhere below a mount, does not exist, or lies behind a link.
        """
        shown = printable(text, limit=200)
        label, parts = self._place(text, shown)
        root = self._real[label]
        try:
            if folder:
                with folder_below(root, parts):
                    pass
            else:
                check_file(root, parts)
        except NotThereError as error:
            raise ConfigError(f"'{shown}' on this worker {error.why}. Correct the place, or {_OTHERWISE}.") from error
        return root.joinpath(*parts)

    def locate(self, text: str) -> tuple[Path, tuple[str, ...]]:
        """A mount's folder and the names that lead down from it, for ``label:/path`` and nothing else.

        Where the folder is on this machine is nobody's business, so its own path is not taken: not even to be refused
        otherwise than any other one.

        Raises:
            ConfigError: if it is not written so, or there is no such mount.
        """
        shown = printable(text, limit=200)
        named = _NAMED.fullmatch(text)
        if named is None:
            raise ConfigError(f"'{shown}' is no place below a mount: write it as label:/folder.")
        return self._real[self._known(named[1])], _parts(named[2], shown)

    def holds(self, path: Path) -> bool:
        """Whether `path` is a regular file below a mount, with no link on the way. Blocks."""
        roots = [root for root in self._real.values() if path.is_absolute() and path.is_relative_to(root)]
        return any(is_file_below(root, path) for root in roots)

    def shown(self, path: str) -> str:
        """A path as a submitter would name it: ``label:/path`` where it is below a mount."""
        for label, root in self._real.items():
            if PurePosixPath(path).is_relative_to(root.as_posix()):
                return f"{label}:/{PurePosixPath(path).relative_to(root.as_posix())}"
        return path

    def _place(self, text: str, shown: str) -> tuple[str, tuple[str, ...]]:
        named = _NAMED.fullmatch(text)
        if named:
            return self._known(named[1]), _parts(named[2], shown)
        for label in self._real:
            for root in (self._written[label], self._real[label]):
                if PurePosixPath(text).is_relative_to(root.as_posix()):
                    return label, _parts(str(PurePosixPath(text).relative_to(root.as_posix())), shown)
        raise ConfigError(
            f"'{shown}' is under no mount of this worker: {self._offer()}. Name a place below one as label:/path, or "
            f"{_OTHERWISE}."
        )

    def _known(self, label: str) -> str:
        if label not in self._real:
            raise ConfigError(f"This worker has no mount '{label}': {self._offer()}.")
        return label

    def _offer(self) -> str:
        names = ", ".join(sorted(self._real))
        return f"it has {printable(names, limit=300)}" if names else "it has none (its owner adds them with --mount)"


def check_mounts(mounts: Sequence[Mount], private: Sequence[Path] = ()) -> Mounts:
    """See that mounts give nothing away that no job may read. Blocks.

    Args:
        mounts: as configured.
        private: folders beside our own that no mount may contain, or lie in: those of jobs and of the store.

    Raises:
        ConfigError: if one is ``/``, contains the home folder, or is or contains a folder of ours; or is no folder; or
            if programs of ours lie in one that jobs may write to.
    """
    # the configuration's checks know no labels of two mounts that come from two places
    labels = [mount.label for mount in mounts]
    for mount in mounts:
        if not LABEL.fullmatch(mount.label) or labels.count(mount.label) > 1:
            raise ConfigError(
                f"The mount label '{printable(mount.label, limit=80)}' cannot be used: a label has 2 to 64 letters, "
                "digits, dots, dashes and underscores, and no two mounts have the same."
            )
        _check_root(mount, [home().resolve(), *(path.resolve() for path in private)])
        if mount.rw:
            _check_programs(mount)
    return Mounts({mount.label: mount.path for mount in mounts}, [mount.label for mount in mounts if mount.rw])


def _check_root(mount: Mount, ours: Sequence[Path]) -> None:
    real = mount.path.resolve()
    what = f"The mount '{mount.label}' ({mount.path})"
    if not real.is_dir():
        raise ConfigError(f"{what} is no folder on this machine. Correct its path, or remove the mount.")
    if Path.home().resolve().is_relative_to(real):
        raise ConfigError(f"{what} contains your home folder, keys and all. Mount the folder of the videos alone.")
    if any(real.is_relative_to(path) or path.is_relative_to(real) for path in ours):
        raise ConfigError(
            f"{what} overlaps with the folders in which sleap-rtc keeps keys and jobs. Mount another folder."
        )


def _check_programs(mount: Mount) -> None:
    """No job may write where the worker's own programs are: also what is above them could be moved, and replaced."""
    real = mount.path.resolve()
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    searched = [*os.get_exec_path(), *filter(None, libraries), *sys.path]
    for path in (Path(place).absolute() for place in (sys.prefix, sys.base_prefix, sys.executable, *searched)):
        if path.exists() and (path.is_relative_to(real) or path.resolve().is_relative_to(real)):
            raise ConfigError(
                f"The mount '{mount.label}' ({mount.path}) contains {path}, where programs of this worker lie, and "
                "jobs could replace them. Mount a folder without them, or leave ':rw' out."
            )


def _parts(path: str, shown: str) -> tuple[str, ...]:
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts or _CONTROL.search(path) or len(parts) > _MOST_PARTS:
        raise ConfigError(f"'{shown}' is no path below a mount: write it without '..', as label:/folder/video.mp4.")
    return parts
