"""The promised numbers of tokens: certificates of the gallery, and what `auto` finds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from attncert import Certificate, certify
from attncert.certificates.claim import SupError

GALLERY = Path(__file__).parent.parent / "certificates" / "gallery"
SEQUENCE = "[[X[0,0]*X[0,1], X[1,1]], [sin(X[0,0]), X[1,0]-X[0,1]]]"

ROWS: list[tuple[str, str, str, dict[str, Any], str, int]] = [
    ("sin-1e-8.json", "sin(2*pi*x)", "[0,1]", {}, "1e-8", 14),
    ("sin-1e-18.json", "sin(2*pi*x)", "[0,1]", {}, "1e-18", 24),
    ("wave-in-the-plane.json.gz", "exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", {}, "1e-6", 120),
    ("runge.json", "1/(1+25*x**2)", "[-1,1]", {}, "1e-6", 48),
    ("kink-of-two-tokens.json", "abs(x-1/3)", "[-1,1]", {}, "1e-3", 2),
    ("tanh.json", "tanh(50*x)", "[-1,1]", {}, "1e-12", 2),
    ("cubic-box.json", "x0*x1 - x2**2 + x0*x2/2", "[0,1]^3", {}, "1e-8", 64),
    ("two-by-two.json", SEQUENCE, "[0,1]^4", {"shape": "2x2"}, "1e-3", 100),
]


@pytest.mark.parametrize(
    ("name", "target", "domain", "options", "tolerance", "most"), ROWS, ids=[row[0].partition(".")[0] for row in ROWS]
)
class TestRows:
    """Each row: a certificate that is kept, and one that is made."""

    def test_a_certificate_of_the_gallery_proves_it(
        self, name: str, target: str, domain: str, options: dict[str, Any], tolerance: str, most: int
    ) -> None:
        certificate = Certificate.load(GALLERY / name)
        statement = certificate.statement
        assert statement.function.source == target
        assert str(statement.domain) == domain
        assert isinstance(statement.claim, SupError)
        assert statement.claim.tolerance == Fraction(tolerance)
        assert statement.attention.tokens <= most
        assert certificate.check().verdict == "proved"

    @pytest.mark.slow
    def test_auto_finds_a_head_with_no_more_tokens(
        self, name: str, target: str, domain: str, options: dict[str, Any], tolerance: str, most: int
    ) -> None:
        result = certify(target, domain=domain, tolerance=tolerance, **options)
        assert result.verdict == "proved"
        kept = Certificate.load(GALLERY / name).statement.attention.tokens
        assert result.tokens <= min(most, kept)
