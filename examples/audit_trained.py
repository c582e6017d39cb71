"""Audit two modules that PyTorch was trained on sin(2*pi*x): the error on a test set, beside the one that is proved.

Run it with `python examples/audit_trained.py`; it takes a second. PyTorch is not needed: `trained/train.py` made the
weights.
"""

from pathlib import Path

import numpy as np

import attncert

points = np.random.default_rng(0).random(1000)
for claim in ("cross.toml", "prompted.toml"):
    audit = attncert.audit(Path(__file__).parent / "trained" / claim)
    head = audit.certificate.statement.attention
    tested = max(abs(np.sin(2 * np.pi * x) - head(np.array([[x]]))[0, 0]) for x in points)
    print(f"{audit.weights}: {audit.claim}: {audit.verdict}")
    everywhere = f"between {audit.error_lower} and {audit.error_upper}"
    print(f"  largest error on 1000 test points {tested:.6f}, everywhere {everywhere}")
