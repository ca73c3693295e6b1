"""Score a model file by its task."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from graphopt.calibration.task import Feed, Task
from graphopt.errors import TaskError
from graphopt.runtime.limits import Limits
from graphopt.runtime.process import RequestError, Worker, WorkerDied

__all__ = ["score_file"]

_LIMITS = Limits(wall_seconds=900.0)
_MAX_SECONDS = 60.0
_MAX_BYTES = 1 << 29


def score_file(
    path: Path, task: Task, items: Iterable[Feed], custom_ops: Sequence[str | Path] = ()
) -> tuple[float, list[Feed]]:
    """Return the task's score of what a model gives, on onnxruntime's CPU with its optimizations, and the items read.

    No more of `items` are read once they have taken a minute, or half a GiB together with the results.

    Raises `TaskError` if the runtime cannot run it on them, or the task cannot score it.
    """
    options = {"threads": 1, "custom_ops": [str(Path(library).resolve()) for library in custom_ops]}
    with Worker("graphopt.runtime.station:Station") as worker:
        try:
            request = {"ep": "cpu", "path": str(path.resolve()), "options": options}
            opened = worker.request("open", request, (), _LIMITS)[0]
            if "not_usable" in opened:
                raise TaskError(f"{task.name!r} cannot be scored", where=str(opened["not_usable"]))
            found, read, held, begin = [], [], 0, time.perf_counter()
            for item in items:
                worker.request("feed", {"key": "item", "names": list(item)}, list(item.values()), _LIMITS)
                reply, arrays = worker.request("outputs", {"key": "item"}, (), _LIMITS)
                if reply["left_out"]:
                    raise TaskError(
                        f"output {reply['left_out'][0]!r} is no array, so that {task.name!r} cannot score it"
                    )
                found.append(arrays)
                read.append(item)
                held += sum(array.nbytes for array in (*item.values(), *arrays))
                if held > _MAX_BYTES or time.perf_counter() - begin > _MAX_SECONDS:
                    break
        except (RequestError, WorkerDied) as error:
            raise TaskError(f"{task.name!r} cannot be scored", where=error.what) from error
    return task.score(found), read
