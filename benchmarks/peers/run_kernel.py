"""The kernel of attncert, on the certificate that its verifier makes before the clock starts."""

from __future__ import annotations

from typing import Any

from attncert.certificates.document import Document
from attncert.verifier import kernel
from attncert.verifier.prove import verify
from benchmarks.instances import statement_of
from benchmarks.peers.common import Job, serve


def prepare(job: Job) -> bytes:
    """The certificate as it is written to a file."""
    statement = statement_of(job.target, job.anchors, job.beta, job.values, job.tolerance)
    return Document(statement, verify(statement).evidence).to_bytes()


def solve(data: bytes) -> dict[str, Any]:
    """Check it."""
    try:
        verdict = kernel.check_bytes(data).verdict
    except kernel.Rejected as rejection:
        verdict = f"rejected: {rejection}"
    return {"verdict": verdict, "bytes": len(data)}


if __name__ == "__main__":
    serve(solve, prepare)
