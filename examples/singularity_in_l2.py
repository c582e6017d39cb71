"""An integrable singularity in the L_2 norm, integrated in closed form on the boxes that touch it.

Run it with `python examples/singularity_in_l2.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify("abs(x-1/3)**(-1/4)", domain="[0,1]", norm="2", tolerance="0.2")
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")
