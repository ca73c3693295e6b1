"""Hold what the user may choose for a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from graphopt.errors import UsageError, nearest
from graphopt.kinds import Exactness, Target

__all__ = ["Options"]

PRECISIONS = {"": "", "fp16": "float16", "bf16": "bfloat16"}
_STORING = frozenset({Target.ORT_CPU, Target.OPENVINO})
"""Targets that convert weights when they load a model, and compute in the type that they are fast in."""
_TIDY = ("fixpoint(simplify, eliminate-common, eliminate-dead)",)
VERIFY = ("end", "each", "off")
ON_MISMATCH = ("rollback", "fail")


@dataclass(frozen=True)
class Options:
    """The choices of a run, as on the command line.

    `freeze`: True makes initializers listed as inputs constants, False keeps them overridable, None decides by the
    model. `dims` gives symbolic dimensions a number. `stop_after` withholds all rewrites after that many, `skip_steps`
    those of these numbers, `skip` the passes and rules of these names. A rule that `sites` names applies at the nodes
    listed there and nowhere else. `snapshots` is a folder for the model after each pass that changed it. `precision`
    (fp16 or bf16) narrows what `keep_fp32` (nodes, values, operators, or patterns) does not name; the task's score may
    drop by `max_drop` for it (None: by 0.01, or float32 is kept). `offline` is a file for the model as onnxruntime
    optimizes it for this processor.

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
    sites: dict[str, tuple[str, ...]] = field(default_factory=dict)
    withheld: dict[str, tuple[str, ...]] = field(default_factory=dict)
    keep_opset: bool = False
    remarks: bool = False
    snapshots: str = ""
    seed: int = 0
    max_tensor_bytes: int = 64 << 20
    max_growth_bytes: int | None = None
    precision: str = ""
    keep_fp32: tuple[str, ...] = ()
    max_drop: float | None = None
    offline: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("target", self.target, tuple(Target)),
            ("precision", self.precision, tuple(PRECISIONS)),
            ("verify", self.verify, VERIFY),
            ("on-mismatch", self.on_mismatch, ON_MISMATCH),
        ):
            if value not in known:
                advice = nearest(value, known) or f"known: {', '.join(filter(None, known))}"
                raise UsageError(f"unknown {name} {value!r}", advice=advice)
        if self.exact and self.fast_math:
            raise UsageError("--exact and --fast-math contradict each other", advice="give one of them")
        self._check_precision()
        if self.offline and not self.offline.endswith((".onnx", ".ort")):
            raise UsageError(f"--offline {self.offline!r} is of no known form", advice="name a file .onnx or .ort")
        if self.offline and self.target not in {Target.PORTABLE, Target.ORT_CPU}:
            raise UsageError(f"--offline does not go with --target {self.target}", advice="it is for --target ort-cpu")

    def _check_precision(self) -> None:
        if self.exact and self.precision:
            raise UsageError(
                f"--exact and --precision {self.precision} contradict each other", advice="give one of them"
            )
        for name, given in (("keep-fp32", self.keep_fp32), ("max-drop", self.max_drop is not None)):
            if given and not self.precision:
                raise UsageError(f"--{name} goes with --precision", advice="add --precision fp16")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise UsageError(f"the score cannot be asked to drop by {self.max_drop}", advice="give 0 or more")

    @property
    def unnarrowed(self) -> Options:
        """The same choices without a narrower precision."""
        return replace(self, precision="", keep_fp32=(), max_drop=None)

    @property
    def whole_pipeline(self) -> str:
        """The pipeline; for a named target local functions are inlined first and the opset raised, unless kept.

        Every runtime inlines the functions when it loads the model, but rules and the upgrade don't see through calls.
        Computing in a narrower type comes last, as rules are for float32; needless conversions are removed behind it.
        """
        whole = [*self._narrowed(), *_TIDY] if self.precision else [self.pipeline]
        if self.target != Target.PORTABLE:
            whole = ["inline-functions", "eliminate-dead", *([] if self.keep_opset else ["upgrade-opset"]), *whole]
        return ", ".join(whole)

    def _narrowed(self) -> list[str]:
        """Return the pipeline with narrowing in it: of weights before they are brought into a target's forms."""
        stored = self.target in _STORING
        kept = f', keep="{",".join(self.keep_fp32)}"' if self.keep_fp32 else ""
        form = "weights" if stored else "compute"
        narrow = f"narrow-precision{{to={PRECISIONS[self.precision]}, form={form}{kept}}}"
        if stored and self.pipeline == "default":
            return ["canonical", narrow, "final"]
        return [self.pipeline, narrow, "store-narrow"] if stored else [self.pipeline, narrow]

    @property
    def allowed(self) -> tuple[Exactness, ...]:
        """The kinds of exactness that rules may have."""
        if self.exact:
            return (Exactness.EXACT,)
        portable = (Exactness.EXACT, Exactness.REASSOCIATES)
        return portable if self.target == Target.PORTABLE else (*portable, Exactness.APPROXIMATE)
