"""A head whose keys, queries and values all see the input, as in a trained layer: its scores are quadratic in x.

The head is written by hand: Z has the rows x and 1 and, for its eight tokens, a number that tells them apart. A claim
about it is verified from Python and, from the file, on the command line: `attncert verify trained.json -o proved.json`.
Theory: docs/theory.md, section 17.
"""

import sys
from fractions import Fraction

import attncert
from attncert.certificates.attention import SelfAttention
from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.matrix import DenseMatrix, Matrix, SparseMatrix
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target

TOKENS = 8


def matrix(*rows: list[object]) -> Matrix:
    """Exact numbers; a decimal string means the rational that it spells."""
    return DenseMatrix((len(rows), len(rows[0])), tuple([Fraction(str(entry)) for entry in row] for row in rows))


marks = [str(Fraction(i, TOKENS - 1)) for i in range(TOKENS)]
head = SelfAttention(
    input_shape=(1, 1),
    linear=((matrix([1], [0], [0]), matrix(["1"] * TOKENS)), (matrix([0], [0], ["0.25"]), matrix(marks))),
    R=matrix(["0"] * TOKENS, ["1"] * TOKENS, marks),  # the rows of Z: x, 1 and the mark times 1 + x/4
    W_K=matrix(["0.5", "-0.3", "4"], ["1.25", "0", "-1.5"]),
    W_Q=matrix(["2", "-0.5", "0"], ["-1", "0.75", "0.5"]),
    W_V=matrix(["0.125", "0", "1"]),
    W_O=SparseMatrix((TOKENS, 1), {(TOKENS - 1, 0): Fraction(1)}),
)
claim = attncert.Certificate(
    Statement(parse_target("sigmoid(3*x)", InputSpace((1, 1))), parse_box("[-1,1]"), head, SupError(Fraction("0.33"))),
    None,
    {},
)
result = attncert.verify(claim)
print(f"{result.verdict}: the error lies between {result.error_lower} and {result.error_upper}, {result.boxes} boxes")
found = attncert.bound(claim, gap="1e-6")
print(f"{found.verdict}: it lies between {found.error_lower} and {found.error_upper}, {found.boxes} boxes")
if len(sys.argv) > 1:
    claim.save(sys.argv[1])
