"""float32 functions of one number, written so that a loop over them vectorises: no calls, no branches."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from triops.backends.numpy.compiled.counts import larger, smaller
from triops.backends.numpy.compiled.jit import inlined, within

F = np.float32
I = np.int32  # noqa: E741 - the pair of F

_LOG2E = F(1.44269504088896341)
_LN2_HI, _LN2_LO = F(0.693359375), F(-2.12194440e-4)
_INFINITY, _NAN = F(np.inf), F(np.nan)
_SQRT_HALF = F(0.707106781186547524)
_LOWEST, _HIGHEST = F(-87.33654), F(88.37626)


@intrinsic  # type: ignore[untyped-decorator]
def _float_of_bits(typing_context: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _bits_of_float(typing_context: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@inlined
def order(x: Any) -> Any:
    """An integer that is ordered as floats are: the maximum of integers vectorises, that of floats does not."""
    bits = _bits_of_float(x)
    return bits ^ ((bits >> I(31)) & I(0x7FFFFFFF))


@inlined
def unorder(key: Any) -> Any:
    return _float_of_bits(key ^ ((key >> I(31)) & I(0x7FFFFFFF)))


@inlined
def kept(x: Any, condition: Any) -> Any:
    """x where the condition holds, else 0. Stores some entries apart vectorise with it, and with a choice
    they do not."""
    return _float_of_bits(_bits_of_float(x) & -I(condition))


@inlined
def split_exp(x: Any) -> Any:
    """exp x = scale (1 + rest): Cody and Waite's reduction, and Cephes' polynomial (expf) for the rest."""
    x = smaller(larger(x, _LOWEST), _HIGHEST)
    n = np.floor(x * _LOG2E + F(0.5))
    r = x - n * _LN2_HI
    r = r - n * _LN2_LO
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    rest = p * r * r + r
    scale = _float_of_bits((I(n) + I(127)) << I(23))
    return scale, rest


@inlined
def exp(x: Any) -> Any:
    scale, rest = split_exp(x)
    inside = scale * rest + scale if x > _LOWEST else F(0)
    return inside if x < _HIGHEST else _INFINITY


@inlined
def expm1(x: Any) -> Any:
    scale, rest = split_exp(x)
    return scale * rest + (scale - F(1))


@inlined
def log(x: Any) -> Any:
    """Of a number that is not subnormal: x = 2ⁿ (1 + r), and Cephes' polynomial (logf) for r."""
    within()
    bits = _bits_of_float(x)
    m = _float_of_bits(I(I(bits & I(0x007FFFFF)) | I(0x3F000000)))
    small = F(1) if m < _SQRT_HALF else F(0)
    n = F(I(bits >> I(23))) - F(126) - small
    r = m + m * small - F(1)
    p = F(7.0376836292e-2)
    p = p * r + F(-1.1514610310e-1)
    p = p * r + F(1.1676998740e-1)
    p = p * r + F(-1.2420140846e-1)
    p = p * r + F(1.4249322787e-1)
    p = p * r + F(-1.6668057665e-1)
    p = p * r + F(2.0000714765e-1)
    p = p * r + F(-2.4999993993e-1)
    p = p * r + F(3.3333331174e-1)
    s = r * r
    y = p * r * s + n * _LN2_LO - F(0.5) * s
    inside = r + y + n * _LN2_HI
    outside = -_INFINITY if x == F(0) else _NAN
    known = inside if x > F(0) else outside
    return known if x < _INFINITY else x


@inlined
def keep_nan(x: Any, y: Any) -> Any:
    """y, or NaN where x is: min and max lose it."""
    return y if x == x else x


@inlined
def sigmoid(x: Any) -> Any:
    return keep_nan(x, F(1) / (F(1) + exp(-x)))


@inlined
def tanh(x: Any) -> Any:
    e = expm1(F(2) * abs(x))
    t = e / (e + F(2))
    return keep_nan(x, -t if x < F(0) else t)


# erf(x)/x as a ratio of polynomials in x², fitted by least squares in float64 on [0, 4]; relative error below
# 7e-8 in exact arithmetic. erf(4) is 1 in float32.
@inlined
def erf(x: Any) -> Any:
    z = smaller(larger(x, F(-4)), F(4))
    s = z * z
    p = F(1.9110396820565256e-08)
    p = p * s + F(-1.9421875094849383e-06)
    p = p * s + F(0.000147267259308137)
    p = p * s + F(0.003989892546087503)
    p = p * s + F(0.05152284726500511)
    p = p * s + F(0.20711025595664978)
    p = p * s + F(1.1283791065216064)
    q = F(0.001020937692373991)
    q = q * s + F(0.014956740662455559)
    q = q * s + F(0.1179644986987114)
    q = q * s + F(0.5168779492378235)
    q = q * s + F(1)
    return keep_nan(x, smaller(larger(z * p / q, F(-1)), F(1)))


@inlined
def softplus(x: Any) -> Any:
    """max(x, 0) + log1p(exp(-|x|)): log1p(z) = 2 artanh(z / (2 + z)), by a
    polynomial fitted like erf's."""
    z = exp(-abs(x))
    u = z / (F(2) + z)
    s = u * u
    p = F(0.14088787138462067)
    p = p * s + F(0.13980397582054138)
    p = p * s + F(0.20012447237968445)
    p = p * s + F(0.3333315849304199)
    p = p * s + F(1)
    return keep_nan(x, larger(x, F(0)) + F(2) * u * p)
