"""The indicator function of a disc in the L_2 norm.

Run it with `python examples/disc_in_l2.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify("where(x0**2 + x1**2 <= 1/2, 1, 0)", domain="[-1,1]^2", norm="2", tolerance="0.3")
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")
