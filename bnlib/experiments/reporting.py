"""What a person at the terminal sees: a bar on a terminal, lines anywhere."""

import sys


class Report:
    """Tells how far the work is.

    Lines go to standard output, complaints and the bar to standard error; without a terminal there
    is no bar.
    """

    def __init__(self):
        self._bar = None

    def begin(self, total):
        """Expect so many seeds."""
        if total and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="seed", leave=False)

    def step(self, name):
        """Count one seed of an experiment."""
        if self._bar is not None:
            self._bar.set_description(name, refresh=False)
            self._bar.update()

    def end(self):
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def say(self, line):
        """Tell a line of news."""
        self._write(line, sys.stdout)

    def complain(self, line):
        """Tell what went wrong."""
        self._write(line, sys.stderr)

    def _write(self, line, file):
        if self._bar is not None:
            self._bar.clear()
        print(line, file=file, flush=True)
        if self._bar is not None:
            self._bar.refresh()
