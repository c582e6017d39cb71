"""How large is the error of a head, really? Enclose it, in the sup norm and in L_2, to any gap.

Theory: docs/theory.md, sections 10 and 11 (Taylor models of the head, and the enclosure of the error).
"""

import attncert

TARGET, DOMAIN = "exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2"

head = attncert.construct_head(TARGET, domain=DOMAIN, tolerance="0.05", method="uniform")
for gap in ("0.01", "0.000001"):
    found = attncert.bound(head, gap=gap)
    assert found.verdict == "proved"
    print(f"sup norm, gap {gap}: between {found.error_lower} and {found.error_upper}, {found.boxes} boxes")

head = attncert.construct_head(TARGET, domain=DOMAIN, tolerance="0.05", norm="2", method="uniform")
found = attncert.bound(head, gap="0.001")
assert found.verdict == "proved"
print(f"L_2 norm: between {found.error_lower} and {found.error_upper}, {found.boxes} boxes")
