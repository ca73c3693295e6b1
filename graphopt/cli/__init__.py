"""Floor 6: the command line. Importing it loads no IR, no numpy and no runtime; the commands do."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of the contract."""
    # A graph is one big web of live objects: looking through it for garbage again and again finds none.
    gc.set_threshold(200_000, 20, 100)
    try:
        # In here, because Ctrl-C may strike while this loads.
        from graphopt.cli.app import app

        if isinstance(sys.stdout, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to stop.
            sys.stdout.reconfigure(errors="backslashreplace")
        code = app.main(args=argv, prog_name="graphopt", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone (`graphopt passes | head`): nothing is left to say to anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last frame: every error becomes a message and an exit code
        from graphopt.cli.failures import explain

        code = explain(error, debug="--debug" in (sys.argv if argv is None else argv))
    sys.exit(code if isinstance(code, int) else 0)
