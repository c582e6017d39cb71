"""A target of two inputs K and Q: single-head cross-attention.

Run it with `python examples/cross_attention.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify("sin(K[0,0] + 2*Q[0,0])", domain="[0,1]^2", attention="cross", tolerance="0.1")
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")
