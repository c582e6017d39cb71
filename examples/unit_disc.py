"""A compact domain that is no box: the unit disc.

Run it with `python examples/unit_disc.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify("exp(x0*x1)", domain="[-1,1]^2", where=["x0**2 + x1**2 <= 1"], tolerance="0.1")
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")
