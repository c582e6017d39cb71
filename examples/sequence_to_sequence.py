"""A matrix-valued target of a 2 x 2 input: sequence-to-sequence self-attention.

Run it with `python examples/sequence_to_sequence.py`; it takes a few seconds.
"""

import attncert

result = attncert.certify(
    "[[X[0,0]*X[0,1], X[1,1]], [sin(X[0,0]), X[1,0]-X[0,1]]]", domain="[0,1]^4", shape="2x2", tolerance="0.5"
)
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.tokens} tokens")
