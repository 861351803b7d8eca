"""python -m naflow: the command line."""

import sys

from naflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
