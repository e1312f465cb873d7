"""`python -m bnlib.exercises grade NOTEBOOK`."""

import sys

from bnlib.exercises.grading import main

if __name__ == "__main__":
    sys.exit(main())
