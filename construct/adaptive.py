"""Power diagrams refined where the error is largest: few tokens for kinks, steep layers and jumps.

Begin with one token. Find the sample where the error is largest, insert a token there, and adjust all keys, biases and
values; repeat until the sampled error is small enough; then take away every token that is not needed. In terms of sites
c_i and weights w_i the keys are a_i = 2 beta c_i and the biases b_i = beta (w_i - |c_i|^2), so adjusting keys and
biases moves the sites and shifts the faces of the power diagram; how fast the softmax changes across a face is part of
it.

*Insertion at x.* With abar = sum_i p_i(x) a_i the affine function LSE(x) + abar . (y - x) supports the convex function
LSE(y) = ln sum_i e^(s_i(y)) at x. A token with that score takes half of the weight at x and loses from there on.

*Adjustment.* Levenberg-Marquardt steps for weighted squares of f - T, T = sum_i p_i v_i, by its derivatives
dT/dv_i = p_i, dT/db_i = p_i (v_i - T), dT/da_i = p_i (v_i - T) x. The weights of the samples follow the norm:
|f - T|^(p-2) for L_p (iteratively reweighted least squares), products of past errors for the sup norm (Lawson's
iteration), for which a linear program has the last word on the values. Coordinates are scaled to [-1, 1].

On a line there is a second start for every number of tokens: intervals, of which the one with the largest error is
halved, each face as soft as its neighbours are long. Sampling chooses; only the proof counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from attncert.certificates.attention import Attention
from attncert.certificates.claim import LpError, SupError
from attncert.certificates.condition import Condition, estimate_inside
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.domain import Box
from attncert.certificates.errors import InvalidTarget, TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.matrix import Row
from attncert.certificates.target import Target
from attncert.construct.best_values import Fitting, Scores
from attncert.construct.continuity import require_continuous, require_defined
from attncert.construct.embedding import embed
from attncert.construct.uniform import Candidate

FloatArray = npt.NDArray[np.float64]

MARGINS = {"sup": (0.03, 0.12, 0.3), "p": (0.06, 0.2, 0.4)}
"""Parts of the tolerance that successive heads leave to the proof."""

MOST_TOKENS = 96

MOST_EFFORT, EXPONENTIAL = 2e10, 60
"""Multiplications in least squares: some minutes; and how many an exponential stands for."""

RESOLUTION = 1e-7
"""The least tolerance relative to the size of the target: single steps in float64 go no farther."""

SAMPLES = {1: 1201, 2: 57, 3: 17}
"""Samples along a side; random ones in more dimensions."""

FEW, CHECKS = 4096, 6000
"""Samples in more dimensions, and those on which an adjusted head is checked."""

STEPS, LAST_STEPS = (8, 12, 24), 60
"""Levenberg-Marquardt steps after an insertion, in heads of which the smallest is taken; and before one is given up or
handed on."""

SOFTNESS = (3.0, 8.0)
"""Change of the score difference across an interval, in the starts on a line."""

SPARE = 4
"""Tokens more than are of interest up to which a head grows: they may turn out not to be needed."""

SCALES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""Factors of all scores that are tried in the end in an L_p norm: jumps want sharp heads."""

SHARPEST = 1e7

UNCUT = np.array([-1.0, 1.0])
"""The ends of a line in scaled coordinates."""


@dataclass(frozen=True)
class _Head:
    """Keys (N, m) and biases (N,) in scaled coordinates, values (N, outputs)."""

    keys: FloatArray
    biases: FloatArray
    values: FloatArray

    @property
    def tokens(self) -> int:
        return len(self.biases)

    def weights(self, u: FloatArray) -> FloatArray:
        """The softmax weights at points u: (points, N)."""
        scores = u @ self.keys.T + self.biases
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def without(self, i: int) -> _Head:
        """The head less one token."""
        return _Head(np.delete(self.keys, i, 0), np.delete(self.biases, i), np.delete(self.values, i, 0))


def adaptive_candidates(
    target: Target,
    box: Box,
    claim: SupError | LpError,
    *,
    limit: int | None = None,
    effort: float = MOST_EFFORT,
    deadline: Deadline = NEVER,
    conditions: Sequence[Condition] = (),
) -> Iterator[Candidate]:
    """Heads to try, the one with the fewest tokens first.

    limit: the most tokens that are of interest. effort: multiplications after which no further head is tried.

    Raises InvalidTarget for targets with several output columns and, in the sup norm, those that jump or lack a value;
    TooLarge when the tolerance is not reached; OutOfTime.
    """
    if target.shape[1] > 1:
        raise InvalidTarget("the adaptive construction is for targets with one output column")
    if isinstance(claim, SupError):
        require_defined(target, box, conditions)
        require_continuous(target, box, conditions)
    search = _Search(target, box, claim, conditions, deadline, effort)
    if float(claim.tolerance) < RESOLUTION * search.size:
        raise TooLarge(f"the adaptive construction is for tolerances above {RESOLUTION:g} of the target")
    margins = MARGINS["sup" if isinstance(claim, SupError) else "p"]
    head: _Head | None = None
    most = MOST_TOKENS if limit is None else limit
    for margin in margins:
        try:
            goal, largest = float(claim.tolerance) * (1 - margin), min(most + SPARE, MOST_TOKENS)
            head = search.first(goal, largest) if head is None else search.grown(head, goal, largest, STEPS[0])
        except (OutOfTime, TooLarge):
            if head is None:
                raise
            return
        if head is None or head.tokens > most:
            if margin == margins[0]:
                raise TooLarge(f"the adaptive construction does not reach this tolerance with {most} tokens")
            return
        yield search.candidate(head, is_last=margin == margins[-1])


class _Search:
    """Samples of a target, and heads that grow on them."""

    def __init__(
        self,
        target: Target,
        box: Box,
        claim: SupError | LpError,
        conditions: Sequence[Condition],
        deadline: Deadline,
        effort: float,
    ) -> None:
        self.target, self.box, self.claim = target, box, claim
        self.conditions, self.deadline, self.effort = conditions, deadline, effort
        self.moving = [k for k, (lo, hi) in enumerate(box.sides) if lo < hi]
        self.middle = np.array([float((lo + hi) / 2) for lo, hi in box.sides])
        self.half = np.array([float((hi - lo) / 2) for lo, hi in box.sides])
        self.power = None if isinstance(claim, SupError) else float(claim.power)
        self.measure = float(np.prod(2 * self.half))
        m, random = len(self.moving), np.random.default_rng(8)
        if m in SAMPLES:
            mesh = np.meshgrid(*[np.linspace(-1, 1, SAMPLES[m])] * m, indexing="ij")
            u = np.stack([axis.ravel() for axis in mesh], axis=1)
            if self.power is not None:  # jumps lie on no lattice
                u = np.clip(u + random.uniform(-1, 1, u.shape) / SAMPLES[m], -1, 1)
        else:
            u = random.uniform(-1, 1, (FEW, m))
        self.u, self.f = self._sampled(u)
        self.checks, self.wanted = self._sampled(random.uniform(-1, 1, (CHECKS, m)))
        if not len(self.f):
            raise InvalidTarget("the target has no value at any sample of the domain")
        self.edges = UNCUT
        self.size = max(float(np.max(np.abs(self.f))), 1e-300)

    def _points(self, u: FloatArray) -> FloatArray:
        points = np.tile(self.middle, (len(u), 1))
        points[:, self.moving] += self.half[self.moving] * u
        return points

    def _sampled(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Those of the points that lie in the domain and where the target has a value, with the values."""
        points = self._points(u)
        values = evaluate_float(self.target, points)
        known = np.isfinite(values).all(axis=1)
        if self.conditions:
            known &= estimate_inside(self.conditions, points)
        self.share = float(known.mean())
        return u[known], values[known]

    # --- growing -------------------------------------------------------------------------------------------------

    def first(self, goal: float, most: int) -> _Head | None:
        """The smallest of heads grown from one token with few and with more steps after each insertion.

        Each has an equal share of the effort. In which minimum an adjustment ends is a matter of rounding errors.
        """
        mean = (self.f.max(axis=0) + self.f.min(axis=0)) / 2 if self.power is None else self.f.mean(axis=0)
        one = self._adjusted(_Head(np.zeros((1, len(self.moving))), np.zeros(1), mean[None, :]), 0)
        head, failure, left, share = None, None, 0.0, self.effort / len(STEPS)
        for steps in STEPS:
            self.edges, self.effort = UNCUT, share
            try:
                head = self.grown(one, goal, head.tokens - 1 if head else most, steps) or head
            except (OutOfTime, TooLarge) as stop:
                failure = stop
            left += max(0.0, self.effort)
        self.effort = left
        if head is None and failure is not None:
            raise failure
        return head

    def grown(self, head: _Head, goal: float, most: int, steps: int) -> _Head | None:
        """A head whose sampled error is at most the goal; None where that takes too many tokens."""
        while True:
            self.deadline.check()
            if self.error(head) <= goal:
                return self._pruned(head, goal)
            if self.error(head) <= 1.5 * goal:
                better = self._adjusted(head, LAST_STEPS)
                if self.error(better) <= goal:
                    return self._pruned(better, goal)
                head = min(head, better, key=self.error)
            if head.tokens >= most:
                return None
            starts = [self._inserted(head, place) for place in self._worst(head)]
            if len(self.moving) == 1:
                starts += self._halved(head.tokens + 1)
            head = min((self._adjusted(start, steps) for start in starts), key=self.error)

    def _halved(self, tokens: int) -> list[_Head]:
        """Heads whose cells are intervals, of which those with the largest errors were halved."""
        plain = np.ones_like(self.f)
        while len(self.edges) < tokens + 1:
            made = min((self._with_values(self._of_intervals(s), plain) for s in SOFTNESS), key=self.error)
            errors = np.abs(self.f - made.weights(self.u) @ made.values).max(axis=1)
            cell = np.clip(np.searchsorted(self.edges, self.u[:, 0]) - 1, 0, len(self.edges) - 2)
            sums = np.bincount(cell, weights=errors ** (self.power or 16.0), minlength=len(self.edges) - 1)
            worst = int(np.argmax(sums))
            self.edges = np.insert(self.edges, worst + 1, (self.edges[worst] + self.edges[worst + 1]) / 2)
        return [self._with_values(self._of_intervals(softness), plain) for softness in SOFTNESS]

    def _of_intervals(self, softness: float) -> _Head:
        """The head whose best token changes at the inner edges."""
        lengths = np.diff(self.edges)
        rises = softness / np.minimum(lengths[1:], lengths[:-1])
        keys = np.concatenate([[0.0], np.cumsum(rises)])
        biases = np.concatenate([[0.0], -np.cumsum(rises * self.edges[1:-1])])
        middle = float(keys.mean())  # all scores may change by the same affine function
        return _Head((keys - middle)[:, None], biases, np.zeros((len(keys), self.f.shape[1])))

    def _worst(self, head: _Head) -> list[int]:
        """Samples to insert tokens at: with the largest error, and amid much of it."""
        errors = np.abs(self.f - head.weights(self.u) @ head.values).max(axis=1)
        p = head.weights(self.u)
        cells = p.argmax(axis=1)
        shares = np.bincount(cells, weights=errors ** (self.power or 4.0), minlength=head.tokens)
        inside = np.flatnonzero(cells == int(np.argmax(shares)))
        centre = self.u[inside].mean(axis=0)
        middle = int(inside[np.argmin(((self.u[inside] - centre) ** 2).sum(axis=1))])
        return list(dict.fromkeys([int(np.argmax(errors)), middle]))

    def _inserted(self, head: _Head, place: int) -> _Head:
        """One token more, which takes half of the weight at a sample."""
        u = self.u[place]
        scores = head.keys @ u + head.biases
        top = float(scores.max())
        total = top + math.log(float(np.exp(scores - top).sum()))
        key = head.weights(u[None, :])[0] @ head.keys
        return _Head(
            np.vstack([head.keys, key]),
            np.append(head.biases, total - float(key @ u)),
            np.vstack([head.values, self.f[place]]),
        )

    def _pruned(self, head: _Head, goal: float) -> _Head:
        """Take tokens away, the least needed first, while the goal is met."""
        while head.tokens > 1:
            needed = head.weights(self.u).max(axis=0)
            for i in np.argsort(needed)[:2].tolist():
                try:
                    fewer = self._adjusted(head.without(i), LAST_STEPS)
                except (OutOfTime, TooLarge):
                    return head  # it is good enough as it is
                if self.error(fewer) <= goal:
                    head = fewer
                    break
            else:
                return head
        return head

    # --- adjusting -----------------------------------------------------------------------------------------------

    def error(self, head: _Head) -> float:
        """The sampled error in the norm of the claim."""
        samples = ((self.u, self.f), (self.checks, self.wanted))
        parts = [self._norm(np.abs(f - head.weights(u) @ head.values)) for u, f in samples]
        return max(parts) if self.power is None else parts[1]

    def _norm(self, errors: FloatArray) -> float:
        if self.power is None:
            return float(errors.max())
        scale = float(errors.max()) or 1.0
        mean = float(((errors / scale) ** self.power).sum(axis=1).mean())
        return float(scale * (mean * self.measure * self.share) ** (1 / self.power))

    def _adjusted(self, head: _Head, steps: int) -> _Head:
        """The head after so many steps, or the best on the way."""
        n, outputs = self.f.shape
        lawson = np.full((n, outputs), 1.0)
        best, damping = self._with_values(head, lawson), 1e-2
        least, head = self._norm(np.abs(self.f - best.weights(self.u) @ best.values)), best
        for step in range(steps):
            self.deadline.check()
            r = self.f - head.weights(self.u) @ head.values
            if self.power is None:
                if step % 2:
                    lawson = lawson * (np.abs(r) / (np.abs(r).max() or 1.0) + 1e-3)
                    lawson /= lawson.mean()
                w = lawson
            else:
                w = self._reweighted(r)
            trial = self._stepped(head, r, w, damping)
            if trial is None:
                break
            after = self.f - trial.weights(self.u) @ trial.values
            if float((w * after**2).sum()) < float((w * r**2).sum()):
                head, damping = trial, max(damping / 4, 1e-9)
                error = self._norm(np.abs(after))
                if error < least:
                    best, least = head, error
            else:
                damping *= 8
                if damping > 1e8:
                    break
        return best

    def _reweighted(self, r: FloatArray) -> FloatArray:
        """Weights with which squares become p-th powers, bounded where that is singular."""
        assert self.power is not None
        size = np.maximum(np.abs(r), 1e-3 * (float(np.abs(r).max()) or 1.0))
        weights = np.asarray(size ** (self.power - 2))
        return np.asarray(weights / weights.mean())

    def _stepped(self, head: _Head, r: FloatArray, w: FloatArray, damping: float) -> _Head | None:
        """A Levenberg-Marquardt step."""
        p, m, n = head.weights(self.u), len(self.moving), head.tokens
        outputs = head.values.shape[1]
        size = n * (m + 1 + outputs)
        self.effort -= len(p) * (outputs * size * size + EXPONENTIAL * n)
        if self.effort < 0:
            raise TooLarge("the adaptive construction takes too long for this tolerance")
        normal, right = np.zeros((size, size)), np.zeros(size)
        for o in range(outputs):
            slope = p * (head.values[:, o] - (p @ head.values[:, o])[:, None])  # dT/db: (samples, N)
            J = np.zeros((len(p), size))
            for k in range(m):
                J[:, k * n : (k + 1) * n] = slope * self.u[:, k : k + 1]
            J[:, m * n : (m + 1) * n] = slope
            J[:, (m + 1 + o) * n : (m + 2 + o) * n] = p
            weighted = J.T * w[:, o]
            normal += weighted @ J
            right += weighted @ r[:, o]
        try:
            scale = np.diag(normal) + 1e-12 * float(np.diag(normal).max())
            move = np.linalg.solve(normal + damping * np.diag(scale), right)
        except np.linalg.LinAlgError:
            return None
        keys = head.keys + move[: m * n].reshape(m, n).T
        biases = head.biases + move[m * n : (m + 1) * n]
        values = head.values + move[(m + 1) * n :].reshape(outputs, n).T
        if not all(
            np.isfinite(x).all() and np.abs(x).max() < SHARPEST * max(self.size, 1) for x in (keys, biases, values)
        ):
            return None
        return _Head(keys, biases, values)

    def _with_values(self, head: _Head, w: FloatArray) -> _Head:
        """The head with the values of least weighted squares, where these are better."""
        p, values = head.weights(self.u), head.values.copy()
        for o in range(values.shape[1]):
            weighted = p.T * w[:, o]
            normal = weighted @ p
            normal += 1e-10 * float(np.trace(normal)) * np.eye(len(normal))
            values[:, o] = np.linalg.solve(normal, weighted @ self.f[:, o])
        trial = _Head(head.keys, head.biases, values)
        return min(head, trial, key=lambda each: self._norm(np.abs(self.f - each.weights(self.u) @ each.values)))

    # --- the head in exact numbers -------------------------------------------------------------------------------

    def candidate(self, head: _Head, is_last: bool) -> Candidate:
        """The head with its exact numbers; in the sup norm with the values of a linear program."""
        if self.power is not None:
            sharper = [_Head(scale * head.keys, scale * head.biases, head.values) for scale in SCALES]
            head = min((self._with_values(each, np.ones_like(self.f)) for each in sharper), key=self.error)
        keys: list[Row] = [[Fraction(0)] * head.tokens for _ in self.box.sides]
        biases = [Fraction(x) for x in head.biases.tolist()]
        for place, k in enumerate(self.moving):
            lo, hi = self.box.sides[k]
            half, middle = Fraction(float(hi - lo) / 2), Fraction(float(lo + hi) / 2)
            row = [Fraction(float(Fraction(x) / half)) for x in head.keys[:, place].tolist()]
            keys[k] = row
            biases = [bias - key * middle for bias, key in zip(biases, row, strict=True)]
        biases = [Fraction(float(bias)) for bias in biases]
        values: list[Row] = [[Fraction(x) for x in row] for row in head.values.T.tolist()]
        error = self.error(head)
        if self.power is None:
            fitting = Fitting(
                self.target, self.box, [Scores(keys, biases)], head.tokens, self.conditions, self.deadline
            )
            fits = [fitting.best(row, start) for row, start in enumerate(values)]
            values, error = [each.values for each in fits], max(each.error for each in fits)
            values = [[Fraction(float(x)) for x in row] for row in values]  # type: ignore[union-attr]
        attention: Attention = embed(self.target.space, keys, biases, [values], head.tokens)
        notes = {
            "method": "adaptive",
            "precision": 53,
            "max_value": f"{max(abs(float(x)) for row in values for x in row):.6g}",  # type: ignore[union-attr]
            "apriori": {"none": "sites, weights and values come from samples of the target"},
        }
        return Candidate(attention, error, notes, is_last)
