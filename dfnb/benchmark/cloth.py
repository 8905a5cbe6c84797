"""Clothes painted on the shoulders: necklines, checks, shirts, jackets with ties."""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a branch may change)

import warp as wp

from dfnb.benchmark.raster import hash21

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.func
def cloth(canon: wp.vec3, params: wp.array(dtype=float, ndim=2), p: int) -> wp.vec4:
    """Colour (linear) and depth of the folds at a point of the shared rest body; `params`: see shading."""
    kind = params[p, 35]
    phase = params[p, 36]
    x = wp.abs(canon[0])
    y = canon[1]
    front = wp.clamp(canon[2] * 6.0, 0.0, 1.0)
    albedo = wp.vec3(params[p, 28], params[p, 29], params[p, 30])
    edge = float(1.0)
    folds = float(0.10)
    if kind < 2.5:
        level = params[p, 31] - params[p, 32] * (canon[2] - 0.1) + 1.9 * x * x
        if canon[2] > 0.0:
            level = level - wp.max(params[p, 33] - x * params[p, 34], 0.0)
        hem = level - y
        edge = 1.0 - 0.16 * (1.0 - wp.smoothstep(0.08, 0.12, hem))
        if kind > 1.5:
            if wp.sin(y * 30.0) > 0.5:
                edge = edge * 0.7
            if wp.sin(canon[0] * 30.0) > 0.5:
                edge = edge * 0.7
    elif kind < 3.5:
        # jacket: lapels, and in the opening a shirt with a tie
        gap = wp.clamp((y - 3.3) * 0.27, 0.0, 0.56)
        lapel = x - gap
        coat = wp.vec3(0.035, 0.037, 0.045) + albedo * 0.12
        if front > 0.2:
            if lapel > 0.0 and lapel < 0.30 - 0.25 * wp.abs(y - 5.0):
                coat = coat * 1.2
            coat = coat * (1.0 - 0.5 * wp.exp(-lapel * lapel * 4000.0))
            shirt = wp.vec3(0.55, 0.56, 0.58) * (0.78 + 0.22 * wp.smoothstep(0.0, 0.12, -lapel))
            if phase > 2.0 and y < 5.35:
                knot = 0.075 + 0.05 * wp.clamp(5.2 - y, 0.0, 1.0)
                tie = wp.vec3(0.12 + 0.02 * phase, 0.03, 0.05) * (0.7 + 0.3 * wp.sin((y + canon[0]) * 40.0))
                inside = 1.0 - wp.smoothstep(knot - 0.012, knot + 0.012, x)
                shirt = shirt * (1.0 - inside) + tie * inside
            outer = wp.smoothstep(-0.012, 0.012, lapel)
            coat = shirt * (1.0 - outer) + coat * outer
            folds = 0.04 + 0.06 * outer
        albedo = coat
    else:
        # shirt: a collar that stands off, a placket with buttons
        collar = 5.62 - 0.75 * wp.max(canon[2], 0.0) * wp.clamp(1.0 - x * 0.8, 0.0, 1.0) + 0.35 * x
        rim_of = y - collar
        edge = (1.0 + 0.05 * wp.smoothstep(-0.01, 0.01, rim_of)) * (1.0 - 0.30 * wp.exp(-rim_of * rim_of * 1500.0))
        if front > 0.2 and y < collar:
            edge = edge * (1.0 - 0.25 * wp.exp(-(x - 0.09) * (x - 0.09) * 12000.0))
            spot = y * 2.2 - wp.floor(y * 2.2) - 0.5
            if x * x + spot * spot * 0.2 < 0.0011:
                edge = 0.5
    weave = 0.95 + 0.10 * hash21(wp.floor(canon[0] * 190.0), wp.floor(canon[1] * 190.0))
    albedo = albedo * (edge * weave)
    return wp.vec4(albedo[0], albedo[1], albedo[2], folds)


@wp.func
def cloth_folds(canon: wp.vec3, phase: float) -> wp.vec3:
    """How far folds tip the surface, about -1..1 along x and y."""
    x = canon[0]
    y = canon[1]
    across = wp.sin(x * 5.0 + 3.0 * wp.sin(y * 2.3 + phase) + phase) + 0.6 * wp.sin(x * 11.0 - y * 6.0)
    along = wp.sin(y * 6.0 + 2.5 * wp.sin(x * 2.1 + phase)) + 0.5 * wp.sin(y * 13.0 + x * 7.0 + phase)
    return wp.vec3(across, along * 0.8, 0.0)
