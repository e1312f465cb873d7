"""Files that are there whole or not at all, whenever the process is killed or the disk is full."""

import os

BESIDE = ".new"  # what a killed process leaves ends with this


def write(path, content):
    """Write text or bytes; whoever reads meanwhile sees the old or the new file, whole."""
    beside = path.with_name(path.name + BESIDE)
    try:
        with open(beside, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def clear(folder):
    """Remove what a killed process has left in a folder."""
    for left in folder.glob(f"*{BESIDE}"):
        left.unlink(missing_ok=True)
