"""The kernel's proof by enlarged regions: the rule on a certificate made by hand, and attacks on it."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from heads import (
    attention_of,
    error_at,
    grid_statement,
    json_of,
    kernel_says,
    number_of,
    points_of,
    sealed,
    statement_of,
    with_tolerance,
)

from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.verifier import kernel
from attncert.verifier.prove import verify

Json = dict[str, Any]

SHARP = Fraction(200)  # s_1 - s_0 = 200 x - 100
KAPPA = Fraction(10)


def step(target: str = "x", tolerance: str = "0.31", domain: str = "[0,1]") -> Statement:
    """Two tokens with the values 1/4 and 3/4, which meet at 1/2."""
    return statement_of(target, domain, [[0, SHARP]], [0, -SHARP / 2], [["1/4", "3/4"]], tolerance)


def token(rival: int, box: tuple[str, str], faces: list[Any], tree: str | None = ".") -> Json:
    return {"rivals": [rival], "box": [list(box)], "faces": faces, "tree": tree}


def by_hand(**changes: Any) -> Json:
    """R_0 = [0, 0.55] and R_1 = [0.45, 1]: on each |x - v| <= 0.3."""
    first = token(1, ("0", "0.55"), [[], [[1, "1/200"]]])
    second = token(0, ("0.45", "1"), [[[0, "1/200"]], []])
    numbers = {"bound": "0.3001", "kappa": "10", "delta": "0.30001", "precision": 64}
    return {"kind": "enlarged", **numbers, "columns": [[first, second]], **changes}


def says(evidence: Json, statement: Statement | None = None) -> str:
    document = json_of(statement or step(), None)
    return kernel_says(sealed({**document, "evidence": evidence}))


def with_token(**changes: Any) -> Json:
    """The proof of token 0 changed."""
    evidence = by_hand()
    evidence["columns"][0][0] |= changes
    return evidence


def test_the_proof_made_by_hand_is_accepted() -> None:
    assert says(by_hand()) == "proved"
    found = kernel.check_bytes(sealed({**json_of(step(), None), "evidence": by_hand()}))
    assert (found.bound, found.leaves, found.tokens) == ("0.3001", 2, 2)
    assert found.obligations == 2 * 2 + 2 * 2  # two signs on each leaf, two faces for each token


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kappa": "10.001"}, "region"),  # the regions are larger than their boxes
        ({"kappa": "0"}, "claim"),
        ({"kappa": "-10"}, "claim"),
        ({"delta": "0.29999"}, "leaf"),  # not so at 0.55
        ({"delta": "-1"}, "leaf"),
        ({"bound": "0.30002"}, "leaf"),  # less than delta + e^-10 / 2
        ({"bound": "0.32"}, "claim"),
        ({"bound": "0"}, "claim"),
        ({"columns": []}, "malformed"),
        ({"columns": [[]]}, "malformed"),
        ({"columns": by_hand()["columns"] * 2}, "malformed"),
        ({"columns": [by_hand()["columns"][0][:1]]}, "malformed"),
        ({"columns": [by_hand()["columns"][0][::-1]]}, "region"),
        ({"precision": 31}, "malformed"),
        ({"precision": 200_000}, "limit"),
        ({"silence": 40}, "malformed"),
    ],
)
def test_another_number_in_the_evidence(changes: Json, reason: str) -> None:
    assert says(by_hand(**changes)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"box": [["0", "0.5499"]]}, "region"),
        ({"box": [["0.001", "0.55"]]}, "region"),
        ({"faces": [[], []]}, "region"),
        ({"faces": [[], [[1, "0.00501"]]]}, "region"),
        ({"faces": [[], [[1, "-1/200"]]]}, "region"),
        ({"faces": [[], [[0, "1/200"]]]}, "region"),  # no rival
        ({"faces": [[], [[2, "1/200"]]]}, "limit"),
        ({"faces": [[]]}, "malformed"),
        ({"rivals": []}, "region"),
        ({"rivals": [2]}, "limit"),
        ({"rivals": [-1]}, "malformed"),
        ({"rivals": [True]}, "malformed"),
        ({"tree": None}, "region"),
        ({"tree": ""}, "tree"),
        ({"tree": "0."}, "tree"),
        ({"tree": "1.."}, "tree"),
        ({"tree": "-"}, "leaf"),
        ({"tree": "A"}, "tree"),
        ({"tree": 0}, "malformed"),
        ({"box": [["0.55", "0"]], "tree": None}, "region"),
    ],
)
def test_another_proof_of_a_token(changes: Json, reason: str) -> None:
    assert says(with_token(**changes)) == reason


def test_rivals_that_are_repeated_or_the_token_itself_prove_nothing_more() -> None:
    assert says(with_token(rivals=[1, 1])) == says(with_token(rivals=[1, 0])) == "proved"
    wide = {"box": [["0", "1"]], "faces": [[], []]}
    assert says(with_token(rivals=[0], **wide)) == "leaf"


def test_a_leaf_on_which_a_rival_is_better_by_kappa_needs_no_target() -> None:
    """On [3/4, 1] token 1 leads by 50 and more, on [1/2, 3/4] not everywhere."""
    wide = {"box": [["0", "1"]], "faces": [[], []]}
    assert says(with_token(**wide)) == "leaf"
    assert says(with_token(tree="0..", **wide)) == "leaf"
    narrow = "0.0" + "0" * 3 + "....."  # [1/2, 3/4] down to [1/2, 17/32] and [17/32, 9/16]
    assert says(with_token(tree=narrow, **wide)) == "leaf"
    generous = {"delta": "0.51", "bound": "0.52"}
    loose = step(tolerance="0.6")
    assert says(with_token(tree="0.0..", **wide) | generous, loose) == "proved"
    assert says(with_token(tree="0.0..", **wide) | generous | {"kappa": "50"}, loose) == "region"  # of token 1
    whole = token(0, ("0", "1"), [[], []], "00...")
    both = [token(1, ("0", "1"), [[], []], "0.0.."), whole]
    assert says(by_hand(**generous, kappa="50", columns=[both]), loose) == "proved"  # exactly 50 at 3/4
    assert says(by_hand(**generous, kappa="50.0001", columns=[both]), loose) == "leaf"


def test_an_empty_region_needs_multipliers_that_say_so() -> None:
    """A third token that is 30 behind the first everywhere."""
    head = ([[0, SHARP, 0]], [0, -SHARP / 2, -30], [["1/4", "3/4", "9"]])
    statement = statement_of("x", "[0,1]", *head, "0.31")
    first, second = by_hand()["columns"][0]
    gone = {"rivals": [0], "box": [["2", "1"]], "faces": [[[0, "1/10"]], []], "tree": None}
    numbers = {"kappa": "10", "bound": "0.301"}
    assert says(by_hand(columns=[[first, second, gone]], **numbers), statement) == "proved"
    for changes in ({"faces": [[[0, "0.09"]], []]}, {"box": [["2", "3"]]}, {"faces": [[[0, "-1"]], []]}):
        assert says(by_hand(columns=[[first, second, gone | changes]], **numbers), statement) == "region"
    late = by_hand(columns=[[first, second, gone]], **numbers) | {"kappa": "30"}
    assert says(late, statement) == "region"


def test_the_weight_of_other_tokens_is_counted() -> None:
    """delta + (N - 1) e^-kappa osc, by mpmath: a bound just above is accepted, one just below is not."""
    with mpmath.workprec(200):
        least = mpmath.mpf("0.30001") + mpmath.exp(-10) / 2
        above, below = [mpmath.nstr(least * (1 + sign * mpmath.mpf(2) ** -40), 30) for sign in (1, -1)]
    assert says(by_hand(bound=above)) == "proved"
    assert says(by_hand(bound=below)) == "leaf"
    wide = statement_of("[x, 0]", "[0,1]", [[0, SHARP]], [0, -SHARP / 2], [["1/4", "3/4"], ["-0.3", "0.3"]], "0.31")
    with mpmath.workprec(200):
        assert says(by_hand(bound=above), wide) == "leaf"  # the spread of the second entry is 0.6
        least += mpmath.exp(-10) / 10
        above = mpmath.nstr(least * (1 + mpmath.mpf(2) ** -40), 30)
    assert says(by_hand(bound=above), wide) == "proved"


def test_every_other_token_may_leak() -> None:
    """Two tokens that are 30 behind the first everywhere weigh up to 2 e^-10, for all that the checker knows."""
    head = ([[0, 0, 0]], [0, -30, -30], [[0, 1, 1]])
    statement = statement_of("0", "[0,1]", *head, "0.1")
    first = {"rivals": [], "box": [["0", "1"]], "faces": [[], []], "tree": "."}
    gone = {"rivals": [0], "box": [["2", "1"]], "faces": [[[0, "1/10"]], []], "tree": None}
    with mpmath.workprec(200):
        above, below = [mpmath.nstr(2 * mpmath.exp(-10) * (1 + sign * mpmath.mpf(2) ** -40), 30) for sign in (1, -1)]
    evidence = by_hand(columns=[[first, gone, gone]], delta="0")
    assert says(evidence | {"bound": above}, statement) == "proved"
    assert says(evidence | {"bound": below}, statement) == "leaf"


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(-1, 3)])
def test_values_that_are_rounded_are_rounded_to_the_safe_side(value: Fraction) -> None:
    """A claim that is false by less than a unit of the last place."""
    only = {"rivals": [], "box": [["0", "1"]], "faces": [[], []], "tree": "."}
    for more, verdict in ((0, "leaf"), (2, "proved")):
        tolerance = str(Fraction((1 << 32) // 3 + more, 1 << 32))
        statement = statement_of("0", "[0,1]", [[0]], [0], [[value]], tolerance)
        evidence = by_hand(columns=[[only]], delta=tolerance, bound=tolerance, precision=32)
        assert says(evidence, statement) == verdict


def test_conditions_cut_regions() -> None:
    """The target has no value from 1.1 on, and is log(0.05), which is almost -3, at 1.05."""
    head = ([[0, 0]], [0, 0], [[0, 0]])
    statement = statement_of("log(1.1 - x)", "[0,1.2]", *head, "3", conditions=["x <= 1", "x >= 1/2"])

    def told(tree: str, delta: str) -> str:
        both = [{"rivals": [], "box": [["0", "1.2"]], "faces": [[], []], "tree": tree}] * 2
        return says(by_hand(columns=[both], delta=delta, bound="3"), statement)

    assert told("00-.0.0.-", "2.9999") == "proved"
    assert told("00-.0.0.-", "2.9") == "leaf"
    assert told("00..0.0.-", "2.9999") == "proved"  # more than is needed
    assert told("00--0.0.-", "2.9999") == "leaf"  # [0.3, 0.6] is not all outside
    assert told("00-.0.0--", "2.9999") == "leaf"
    assert told("00-.0.0..", "2.9999") == "undefined"


def test_a_certificate_that_checks_no_leaf_is_rejected() -> None:
    statement = statement_of("x", "[0,1]", [[0]], [0], [[0]], "1", conditions=["x >= 2"])
    nothing = {"rivals": [], "box": [["0", "1"]], "faces": [[], []], "tree": "-"}
    assert says(by_hand(columns=[[nothing]], delta="0.5", bound="1"), statement) == "tree"


def test_nodes_of_all_trees_are_limited() -> None:
    data = sealed({**json_of(step(), None), "evidence": by_hand()})
    assert kernel_says(data, kernel.Limits(nodes=2)) == "proved"
    assert kernel_says(data, kernel.Limits(nodes=1)) == "limit"


def test_both_proofs_are_checked() -> None:
    statement = grid_statement("x", "[0,1]", [4], 4000, "0.2")
    document = json_of(statement, verify(statement, proof="both").evidence)
    assert document["evidence"]["kind"] == "both"
    assert kernel_says(sealed(document)) == "proved"
    paving, enlarged = document["evidence"]["paving"], document["evidence"]["enlarged"]
    for part in (paving, enlarged):
        assert kernel_says(sealed({**document, "evidence": part})) == "proved"
    bad_paving, bad_regions = {**paving, "trees": ["."]}, {**enlarged, "delta": "1e-9"}
    for pair in ((bad_paving, enlarged), (paving, bad_regions)):
        evidence = {"kind": "both", "paving": pair[0], "enlarged": pair[1]}
        assert kernel_says(sealed({**document, "evidence": evidence})) == "leaf"
    for wrong, reason in (
        ({"kind": "both", "paving": enlarged, "enlarged": paving}, "unsupported"),
        ({"kind": "both", "paving": paving, "enlarged": paving}, "unsupported"),
        ({"kind": "both", "paving": document["evidence"], "enlarged": enlarged}, "unsupported"),
        ({"kind": "both", "paving": paving}, "malformed"),
        ({"kind": "both", "paving": paving, "enlarged": None}, "malformed"),
    ):
        assert kernel_says(sealed({**document, "evidence": wrong})) == reason
    found = kernel.check_bytes(sealed(document))
    assert number_of(str(found.bound)) == min(number_of(paving["bound"]), number_of(enlarged["bound"]))
    assert found.leaves == sum(tree.count(".") for tree in paving["trees"]) + 4


def test_other_claims_have_no_such_proof() -> None:
    document = json_of(step(), None)
    document["statement"]["claim"] = {"kind": "error", "norm": "2", "tolerance": "0.31"}
    assert kernel_says(sealed({**document, "evidence": by_hand()})) == "unsupported"


# ---------------------------------------------------------------------------------------------------------------------
# Attacks: false statements, and evidence that almost proves them


def two_columns() -> Statement:
    """Each output column has two tokens of its own, and two that are 200 behind."""
    keys, biases, values = [[0, 400, 0, 400]], [100, -100, -100, -300], [["0.25", "0.75", 1, "1.5"]]
    head = attention_of((1, 1), keys, biases, values, columns=(0, 1), factors=[1, 1, -1, -1])
    target = parse_target("[[x, x + 3/4]]", InputSpace((1, 1)))
    return Statement(target, parse_box("[0,1]"), head, SupError(Fraction(1)))


FALSE: dict[str, Callable[[], tuple[Statement, Fraction]]] = {
    "line": lambda: (grid_statement("sin(2*pi*x)", "[0,1]", [9], 20_000, "0.5"), Fraction("0.42")),
    "step": lambda: (step(), Fraction("0.31")),
    "plane": lambda: (grid_statement("x0*x1 - x0**2", "[0,1]^2", [3, 3], 3000, "0.5"), Fraction("0.55")),
    "columns": lambda: (two_columns(), Fraction("1.1")),
    "sites": lambda: (
        statement_of(
            "[x0 + x1, x0*x1]",
            "[0,1]^2",
            [[300, 0, -200, 100], [0, 250, 100, -300]],
            [0, 10, 60, -20],
            [[1, "3/4", "1/2", "1/3"], ["1/2", "1/3", 0, "1/5"]],
            "4",
        ),
        Fraction("1.5"),
    ),
}


def mutated(evidence: Json, rnd: random.Random) -> None:
    """Change the evidence somewhere, mostly so that it stays well-formed."""
    column = rnd.choice(evidence["columns"])
    proof = rnd.choice(column)
    factor = Fraction(1) + rnd.choice([-1, 1]) * Fraction(rnd.choice(["1e-9", "1e-3", "0.1", "0.5", "0.9"]))
    side = rnd.randrange(2 * len(proof["box"]))
    face = proof["faces"][side]

    def scaled(text: str) -> str:
        return str(number_of(text) * factor)

    match rnd.randrange(13):
        case 0:
            evidence["kappa"] = scaled(evidence["kappa"])
        case 1:
            evidence["delta"] = scaled(evidence["delta"])
        case 2:
            evidence["kappa"] = str(rnd.choice([10**6, Fraction(1, 10**6), 1, 3]))
        case 3:
            end = proof["box"][side // 2]
            end[side % 2] = scaled(end[side % 2])
        case 4:
            proof["box"][side // 2].reverse()
            proof["tree"] = None
        case 5 if face:
            face[0][1] = scaled(face[0][1])
        case 6 if face:
            face.pop()
        case 7:
            face.append([rnd.randrange(len(column)), rnd.choice(["1", "-1", "1e-6"])])
        case 8:
            proof["tree"] = rnd.choice([".", "-", None, "0..", "00...", "0.-", "1.."])
        case 9:
            other = rnd.choice(column)
            proof["tree"], other["tree"] = other["tree"], proof["tree"]
        case 10:
            place, other = rnd.randrange(len(column)), rnd.randrange(len(column))
            column[place] = copy.deepcopy(column[other])
        case 11:
            proof["rivals"].append(rnd.randrange(len(column)))
        case _:
            evidence["precision"] = rnd.choice([32, 40, 64, 200])


def attacked(name: str, seed: int, mutations: int) -> Counter[str]:
    """What the kernel says of mutations of a true proof, under a claim that is false."""
    statement, tolerance = FALSE[name]()
    rnd = random.Random(f"enlarged {name} {seed}")
    known = max(error for point in points_of(statement.domain, 200, rnd) if (error := error_at(statement, point)))
    lie = known * (1 - Fraction(1, 10**6))
    outcome = verify(with_tolerance(statement, tolerance), proof="regions")
    assert outcome.verdict == "verified", outcome
    true = json.loads(json.dumps(json_of(statement, outcome.evidence)["evidence"]))
    document = json_of(with_tolerance(statement, lie), None)
    found: Counter[str] = Counter()
    for _ in range(mutations):
        evidence = copy.deepcopy(true)
        for _ in range(rnd.choice([0, 1, 1, 2, 3, 5])):
            mutated(evidence, rnd)
        evidence["bound"] = document["statement"]["claim"]["tolerance"]
        if rnd.random() < 0.7:  # as large a delta as the bound has room for, so that it comes to the regions
            leak = (len(true["columns"][0]) - 1) * mpmath.exp(-mpmath.mpf(float(number_of(evidence["kappa"]))))
            evidence["delta"] = str(lie - Fraction(float(leak * 10)))
        found[kernel_says(sealed({**document, "evidence": evidence}))] += 1
    return found


@pytest.mark.parametrize("name", FALSE)
def test_no_mutation_proves_a_false_claim(name: str) -> None:
    found = attacked(name, 0, 100)
    assert found["proved"] == found["refuted"] == 0
    assert {"leaf", "region"} <= set(found)
    assert sum(found.values()) == 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("name", FALSE)
def test_no_mutation_of_many_proves_a_false_claim(name: str, seed: int) -> None:
    assert attacked(name, seed, 300)["proved"] == 0


def test_values_that_depend_on_the_input_count_over_the_whole_box() -> None:
    """Both values are x. At the centres of the boxes 1/2 is near enough to them; at 0 and 1 it is not."""

    def claim(target: str) -> Statement:
        keys, biases = [[0, SHARP]], [0, -SHARP / 2]
        return statement_of(target, "[0,1]", keys, biases, [[0, 0]], "0.31", slopes=[[[1, 1]]])

    assert says(by_hand(), claim("1/2")) == "leaf"
    assert says(by_hand(), claim("x")) == "leaf"  # intervals of x and of the value apart do not show that they agree
    evidence = by_hand()
    for proof in evidence["columns"][0]:
        proof["tree"] = "0.."
    assert says(evidence, claim("x")) == "proved"
    assert says(evidence, claim("1/2")) == "leaf"
