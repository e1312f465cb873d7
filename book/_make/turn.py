"""One at a time: who would disturb another run in the same folder waits for its turn.

The system ends the turn of a process that is gone, however it went: nobody waits for the dead.
"""

import contextlib
import os
import time

if os.name == "nt":
    import msvcrt
else:
    import fcntl


@contextlib.contextmanager
def taken(path, what):
    """Hold the turn that the file at `path` stands for; `what` names who else may hold it.

    Yields the descriptors to hand to a child that works on when this process is killed: while it
    does, the turn is still taken. (Windows has none.)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        if not free(file):
            print(f"Another {what} is under way in this folder: waiting for its end.", flush=True)
            while not free(file):
                time.sleep(0.2)
        yield () if os.name == "nt" else (file.fileno(),)


def free(file):
    """Take the turn if nobody has it; return whether it was free."""
    try:
        if os.name == "nt":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
