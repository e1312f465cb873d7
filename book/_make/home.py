"""Where the home cannot be written: folders in `_build/home` for what others would keep in it.

    python book/_make/home.py -m jupyterlab book

starts Python with these arguments so. Otherwise matplotlib, fontconfig and IPython complain, which
would stand among the outputs of whatever cell imports them, and JupyterLab does not even start.
"""

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent.parent / "_build" / "home"
# Variable: the folder whose place it names. Without a runtime folder Jupyter uses the data's.
KEPT = {
    "IPYTHONDIR": "ipython",
    "JUPYTER_CONFIG_DIR": "jupyter_config",
    "JUPYTER_DATA_DIR": "jupyter_data",
    "MPLCONFIGDIR": "matplotlib",
    "XDG_CACHE_HOME": "cache",
}


def writable():
    """Whether this user has a home and may write there."""
    try:
        return os.access(Path.home(), os.W_OK)
    except RuntimeError:  # a user without a name
        return False


def replace_if_read_only():
    """Name such folders to this process and all that it starts, where the home cannot be written.

    A variable that is there already stays as it is.
    """
    if writable():
        return
    for variable, name in KEPT.items():
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(variable, str(folder))


if __name__ == "__main__":
    replace_if_read_only()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 (no shell is wanted)
