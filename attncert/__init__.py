"""attncert: universal-approximation claims about softmax attention, checkable by machine."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In a checkout certificates/, construct/ and verifier/ stand beside this package; installed, they are inside it.
_HERE = Path(__file__).parent
if not (_HERE / "certificates").is_dir() and (_HERE.parent / "certificates").is_dir():
    __path__.append(str(_HERE.parent))

if TYPE_CHECKING:
    from attncert.api import (
        Certificate,
        Result,
        bound,
        certify,
        certify_indicator,
        certify_partition,
        certify_regions,
        construct_head,
        fit,
        verify,
    )
    from attncert.auditing import Audit, audit
    from attncert.certificates.attention import Attention
    from attncert.certificates.errors import InputError
    from attncert.tradeoffs import tradeoff

__all__ = [
    "Attention",
    "Audit",
    "Certificate",
    "InputError",
    "Result",
    "audit",
    "bound",
    "certify",
    "certify_indicator",
    "certify_partition",
    "certify_regions",
    "construct_head",
    "fit",
    "tradeoff",
    "verify",
]

_HOMES = {name: ("attncert.api", name) for name in __all__} | {
    "Attention": ("attncert.certificates.attention", "Attention"),
    "Audit": ("attncert.auditing", "Audit"),
    "audit": ("attncert.auditing", "audit"),
    "InputError": ("attncert.certificates.errors", "InputError"),
    "tradeoff": ("attncert.tradeoffs", "tradeoff"),
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are first used: the command line answers `--help` without numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'attncert' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
