"""Two proofs of one claim, asked for together: they must agree."""

from __future__ import annotations

from dataclasses import replace

from attncert.certificates.evidence import Both, Enlarged, Paving
from attncert.verifier.outcome import Outcome
from attncert.verifier.polytopes import Contradiction


def together(paving: Outcome, regions: Outcome) -> Outcome:
    """What a paving and enlarged regions say together; raises Contradiction if one proves what the other refutes.

    If only one of them proves the claim, that is the evidence, and the detail says that the other is undecided.
    """
    if "refuted" in (paving.verdict, regions.verdict) and "verified" in (paving.verdict, regions.verdict):
        raise Contradiction(f"the two proofs disagree: {paving.detail}, but {regions.detail}")
    both = replace(
        paving,
        error_lower=max(paving.error_lower, regions.error_lower),
        error_upper=min(paving.error_upper, regions.error_upper),
        boxes=paving.boxes + regions.boxes,
        seconds=paving.seconds + regions.seconds,
        interrupted=paving.interrupted or regions.interrupted,
    )
    if paving.verdict == regions.verdict == "verified":
        assert isinstance(paving.evidence, Paving)
        assert isinstance(regions.evidence, Enlarged)
        return replace(
            both, evidence=Both(paving.evidence, regions.evidence), detail=f"{paving.detail}, and {regions.detail}"
        )
    if regions.verdict == "verified":
        detail = f"{regions.detail}; the paving is undecided: {paving.detail}"
        return replace(both, verdict="verified", evidence=regions.evidence, detail=detail)
    return replace(both, detail=f"{paving.detail}; by regions undecided: {regions.detail}")
