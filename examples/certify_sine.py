"""Construct a head for sin(2 pi x), prove its error, and let the kernel check the proof.

Run it with `python examples/certify_sine.py`; it takes a second.
"""

import attncert

result = attncert.certify("sin(2*pi*x)", domain="[0,1]", tolerance="0.05")

# A result has four possible verdicts, so it is no boolean: `if result:` raises.
print(f"{result.verdict}: the largest error lies between {result.error_lower} and {result.error_upper}")
print(f"{result.tokens} tokens, where the paper's a-priori bound asks for {result.notes['paper']['tokens']}")

# The certificate holds the statement and the evidence; nothing else is needed to prove it again.
finding = result.certificate.check()
print(f"the kernel: {finding.claim}, {finding.obligations} obligations checked")
