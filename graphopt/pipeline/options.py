"""Hold what the user may choose for a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphopt.errors import UsageError, nearest
from graphopt.kinds import Exactness, Target

__all__ = ["Options"]

VERIFY = ("end", "each", "off")
ON_MISMATCH = ("rollback", "fail")


@dataclass(frozen=True)
class Options:
    """The choices of a run, as on the command line.

    `freeze`: True makes initializers listed as inputs constants, False keeps them overridable, None decides by the
    model. `dims` gives symbolic dimensions a number. `stop_after` withholds all rewrites after that many, `skip_steps`
    those of these numbers, `skip` the passes and rules of these names. `snapshots` is a folder for the model after each
    pass that changed it.

    Raises `UsageError` for a value that is not known, with the nearest known one.
    """

    target: str = Target.PORTABLE
    pipeline: str = "default"
    exact: bool = False
    fast_math: bool = False
    freeze: bool | None = None
    dims: dict[str, int] = field(default_factory=dict)
    verify: str = "end"
    on_mismatch: str = "rollback"
    require_verify: bool = False
    task: str = ""
    samples: int = 3
    custom_ops: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    skip_steps: tuple[int, ...] = ()
    stop_after: int | None = None
    keep_opset: bool = False
    remarks: bool = False
    snapshots: str = ""
    seed: int = 0
    max_tensor_bytes: int = 64 << 20
    max_growth_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("target", self.target, tuple(Target)),
            ("verify", self.verify, VERIFY),
            ("on-mismatch", self.on_mismatch, ON_MISMATCH),
        ):
            if value not in known:
                advice = nearest(value, known) or f"known: {', '.join(known)}"
                raise UsageError(f"unknown {name} {value!r}", advice=advice)
        if self.exact and self.fast_math:
            raise UsageError("--exact and --fast-math contradict each other", advice="give one of them")

    @property
    def whole_pipeline(self) -> str:
        """The pipeline; for a named target local functions are inlined first and the opset raised, unless kept.

        Every runtime inlines the functions when it loads the model, but rules and the upgrade don't see through calls.
        """
        if self.target == Target.PORTABLE:
            return self.pipeline
        first = "inline-functions, eliminate-dead"
        return f"{first}, {self.pipeline}" if self.keep_opset else f"{first}, upgrade-opset, {self.pipeline}"

    @property
    def allowed(self) -> tuple[Exactness, ...]:
        """The kinds of exactness that rules may have."""
        if self.exact:
            return (Exactness.EXACT,)
        portable = (Exactness.EXACT, Exactness.REASSOCIATES)
        return portable if self.target == Target.PORTABLE else (*portable, Exactness.APPROXIMATE)
