"""How files are named in what a job is asked for."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from sleap_rtc.protocol.files import check_path

PackagePath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(check_path)]
"""Where a file lies in the package."""
UserPath = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
"""A path as the submitter wrote it; on the worker it is a name to look up, and never opened."""
