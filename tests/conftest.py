"""Settings of all tests.

Hypothesis draws the same examples in every run, so that a change is judged by what it changes. To look for new ones:
HYPOTHESIS_PROFILE=explore.
"""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as on the command line

settings.register_profile("fixed", derandomize=True, print_blob=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
