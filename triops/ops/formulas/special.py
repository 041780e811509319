"""Special functions that not every array namespace has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triops.ops.formulas.registry import formula

__all__ = ["erf"]

# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969), with the
# coefficients of his SPECFUN package, highest power first: erf(x) = x A(x²)/B(x²) for |x| <= 0.46875;
# erfc(x) = exp(-x²) C(x)/D(x) up to 4; erfc(x) = exp(-x²)/x (1/√π - P(1/x²)/Q(1/x²)/x²) beyond.
_NEAR = 0.46875
_FAR = 4.0
_ONE_EVERYWHERE = 6.0  # erf(6) is 1 in float64
_A = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
      3.77485237685302021e2, 3.20937758913846947e3)  # fmt: skip
_B = (1.0, 2.36012909523441209e1, 2.44024637934444173e2,
      1.28261652607737228e3, 2.84423683343917062e3)  # fmt: skip
_C = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
      6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
      1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)  # fmt: skip
_D = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
      1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
      3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip
_P = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
      1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4)  # fmt: skip
_Q = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
      6.05183413124413191e-2, 2.33520497626869185e-3)  # fmt: skip
_RSQRT_PI = 0.5641895835477562869


@formula
def erf(xp: Any, X: Any) -> Any:
    own = getattr(xp, "erf", None)
    if own is not None:
        return own(X)
    if X.dtype.itemsize < 4:
        # The polynomials leave float16's range and bfloat16's precision.
        return erf(xp, X.astype("float32")).astype(X.dtype)
    size = xp.abs(X)
    near = xp.minimum(size, _NEAR)
    middle = xp.clip(size, _NEAR, _FAR)
    far = xp.clip(size, _FAR, _ONE_EVERYWHERE)
    near_square = near * near
    erf_near = near * _polynomial(_A, near_square) / _polynomial(_B, near_square)
    erfc_middle = xp.exp(-middle * middle) * _polynomial(_C, middle) / _polynomial(_D, middle)
    inverse = 1.0 / (far * far)
    tail = inverse * _polynomial(_P, inverse) / _polynomial(_Q, inverse)
    erfc_far = xp.exp(-far * far) * (_RSQRT_PI - tail) / far
    erfc = xp.where(size <= _FAR, erfc_middle, erfc_far)
    return xp.where(size <= _NEAR, erf_near, 1.0 - erfc) * xp.sign(X)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
