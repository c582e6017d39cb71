"""The indicator theorem in reverse: the smallest inverse temperature found that makes the softmax nearly one-hot.

Run it with `python examples/indicator_theorem.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify_indicator(domain="[0,1]^2", grid="8x8", delta="0.001", measure="0.1")
print(f"{result.verdict}: the layer measures at most {result.error_upper}, beta {result.notes['beta']}")
