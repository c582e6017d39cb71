"""A smooth target in the L_2 norm: lower and upper bounds within one per cent of each other.

Run it with `python examples/smooth_in_l2.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify("sin(2*pi*x)", domain="[0,1]", norm="2", tolerance="0.05")
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")

assert float(result.error_upper) <= 1.01 * float(result.error_lower)
