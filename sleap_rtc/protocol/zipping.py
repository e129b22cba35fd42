"""A transfer's files as one zip, for receivers that can keep only one file, as a browser does."""

ABILITY = "zip"
"""What a worker that hands out one zip of what it hands out says that it can do."""
PREFIX = "z_"


def zip_of(transfer: str) -> str:
    """By which transfer id a worker hands out the files of a transfer as one zip."""
    return f"{PREFIX}{transfer}"


def inside_of(transfer: str) -> str | None:
    """The transfer whose files a transfer id asks for as one zip; None if it asks for no zip."""
    inside = transfer.removeprefix(PREFIX)
    return inside if transfer.startswith(PREFIX) and inside else None
