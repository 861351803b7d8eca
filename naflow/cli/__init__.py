"""The command line: naflow demo, naflow models, naflow plan, naflow explain.

Exit codes: 0: done; 1: some photos could not be explained; 2: the command cannot be run as given;
130: interrupted.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module

from naflow.cli.arguments import parser
from naflow.errors import BadInput, NAFlowError, out_of_memory, printable

#: Command -> its module, imported when the command runs. So --help, and errors in the arguments,
#: need no torch and appear at once.
COMMANDS = {"demo": "demo", "models": "listing", "plan": "listing", "explain": "explain"}

_MEMORY = "The memory ran out: use a smaller --size or --batch, or --device cpu for a GPU's."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors that the user can correct are one sentence
    on stderr.

    argv: the arguments after the program's name; by default those of the process.
    """
    try:
        arguments = parser().parse_args(argv)
        code = _done(arguments)
        sys.stdout.flush()
        return code
    except NAFlowError as error:
        return _refused(str(error))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return _refused(_MEMORY)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, as in `naflow models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refused(printable(f"{error.filename or 'A file'}: {error.strerror or error}."))


def _done(arguments: Namespace) -> int:
    try:
        module = import_module(f"naflow.cli.{COMMANDS[arguments.command]}")
        return getattr(module, arguments.command)(arguments)
    except SystemExit as ending:  # only the user's own code can end the program here
        raise BadInput(
            f"The code of {arguments.model} ended the program (SystemExit: {ending}) before the "
            "work was done."
        ) from None


def _refused(sentence: str) -> int:
    sys.stderr.write(f"naflow: {sentence}\n")
    return 2
