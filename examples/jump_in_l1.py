"""A discontinuous target in the L_1 norm: the jump costs only the measure of the boxes that meet it.

Run it with `python examples/jump_in_l1.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify("sign(x - 1/3)", domain="[-1,1]", norm="1", tolerance="0.01")
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")
