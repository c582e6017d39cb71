"""Evaluate a certified head: quickly with numpy, and with as many digits as wanted with mpmath.

Run it with `python examples/evaluate_head.py`; it takes a second.
"""

from fractions import Fraction

import mpmath
import numpy as np

import attncert

result = attncert.certify("exp(-x)*cos(4*x)", domain="[0,2]", tolerance="0.05")
head = result.certificate.statement.attention

# The matrices of the paper: Z = sum_h P_h X Q_h + R, T(X) = W_V Z softmax((W_K Z)^T W_Q Z) W_O.
(P, Q), R = head.linear[0], head.R
print(f"P {P.shape}, Q {Q.shape}, R {R.shape}: {head.tokens} tokens, output {head.output_shape}")

# A numpy array of the input's shape is evaluated in float64.
x = np.linspace(0.0, 2.0, 201)
values = np.array([head(np.array([[point]]))[0, 0] for point in x])
error = np.abs(np.exp(-x) * np.cos(4 * x) - values).max()
print(f"largest error at {len(x)} points: {error:.4f}; proved everywhere: {result.error_upper}")

# Exact numbers are evaluated with mpmath. The weights are rationals: these are digits of the very head that was proved.
third = head([[Fraction(1, 3)]], precision=170)[0, 0]
print(f"T(1/3) = {mpmath.nstr(third, 50)}")
