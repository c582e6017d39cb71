"""The peers, where they are looked for, and what their answers are worth."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A tool to measure: the module that runs it, what that needs, and what its `proved` stands for."""

    name: str
    module: str
    imports: str = ""
    command: str = ""
    rigour: str = "rigorous"
    dimensions: int = 3


ATTNCERT = Peer("attncert", "run_attncert", imports="attncert", rigour="proof checked by the kernel")
SAMPLING = Peer("sampling", "run_sampling", imports="numpy", rigour="proves nothing")
PEERS = {
    peer.name: peer
    for peer in [
        ATTNCERT,
        SAMPLING,
        Peer("dreal", "run_dreal", imports="dreal", rigour="rigorous, pi as a float64"),
        Peer("sollya", "run_sollya", command="sollya", rigour="proofs rigorous, refutations not", dimensions=1),
        Peer("codac", "run_codac", imports="codac"),
        Peer("auto_lirpa", "run_lirpa", imports="auto_LiRPA", rigour="no directed rounding"),
        Peer("mpmath", "run_mpmath", imports="mpmath", rigour="exp not rigorous"),
    ]
}


@dataclass(frozen=True)
class Found:
    """The interpreter a peer runs under; None if the peer is absent, and then why."""

    peer: Peer
    interpreter: str | None
    detail: str


def find(peer: Peer, interpreters: Sequence[str]) -> Found:
    """Look for a peer's command, and for the first interpreter that imports its package."""
    if peer.command:
        path = shutil.which(peer.command)
        return Found(peer, interpreters[0] if path else None, path or f"no command `{peer.command}` on PATH")
    reasons = []
    for interpreter in interpreters:
        code = f"import {peer.imports} as peer; print(getattr(peer, '__version__', ''))"
        try:
            answer = subprocess.run(
                [interpreter, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{interpreter}: {error}")
            continue
        if answer.returncode == 0:
            return Found(peer, interpreter, f"{peer.imports} {' '.join(answer.stdout.split()[-1:])}".strip())
        reasons.append((answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[-1])
    informative = [reason for reason in reasons if not reason.startswith("ModuleNotFoundError")]
    return Found(peer, None, (informative or reasons)[0])
