"""What `overread doctor` and `overread models check` say of a link of the chain."""

from __future__ import annotations

from typing import Any

from overread.domain.errors import UserError
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain
from overread.infer.backends.judge import Verdict
from overread.infer.manifest import ModelSpec


def tried(chain: Chain | FarChain, spec: ModelSpec) -> list[Verdict]:
    """Every link tried anew, each by itself; that of a server comes first."""
    if isinstance(chain, FarChain):
        far = chain.far(spec).look()
        return [far] if chain.remote.policy == "remote" else [far, *tried(chain.near, spec)]
    try:
        return [chain.judged(spec, candidate)[0] for candidate in chain.candidates]
    except UserError as error:  # without a self-test nothing serves this one
        return [Verdict(candidate, False, error.title, fix=error.hint) for candidate in chain.candidates]


def link_answer(verdict: Verdict) -> dict[str, Any]:
    """A verdict as machine-readable answers give it."""
    return {
        "backend": verdict.candidate.name,
        "precision": verdict.candidate.precision,
        "passed": verdict.passed,
        "why": verdict.why,
        "fix": verdict.fix,
        "error": verdict.error,
        "ms_per_slice": None if verdict.milliseconds is None else round(verdict.milliseconds, 2),
    }


def link_line(link: dict[str, Any]) -> str:
    """The same for people."""
    label = f"{link['backend']} {link['precision']}"
    if link["passed"]:
        return f"{label}: passes (off by {link['error']:.2g}, {link['ms_per_slice']} ms a slice)"
    return f"{label}: does not serve: {link['why']}{' – ' * bool(link['fix'])}{link['fix']}"
