"""Placing strands on a posed head and drawing them over the ray-cast picture, as Warp kernels for the CPU.

On the CPU Warp runs a kernel's threads one after another in order, so strands may be painted from far to near
straight into the picture.
"""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a loop may change)

import warp as wp

wp.config.log_level = wp.LOG_ERROR  # no banner
wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.kernel
def place(
    posed: wp.array(dtype=wp.vec3),
    rest: wp.array(dtype=wp.vec3),
    first: int,
    corner: wp.array(dtype=wp.vec3i),
    share: wp.array(dtype=wp.vec3),
    offset: wp.array(dtype=wp.vec3, ndim=2),
    turn: wp.array(dtype=float, ndim=2),
    head: wp.mat33,
    torso: wp.mat33,
    pivot: wp.vec3,
    shift: wp.vec3,
    out: wp.array(dtype=wp.vec3, ndim=2),
    depth: wp.array(dtype=float),
):
    """Strand points (N, S) in camera space: the rest strand turned with head or torso, plus the skin's own motion."""
    i = wp.tid()
    c = corner[i]
    b = share[i]
    moved = posed[first + c[0]] * b[0] + posed[first + c[1]] * b[1] + posed[first + c[2]] * b[2]
    root = rest[c[0]] * b[0] + rest[c[1]] * b[1] + rest[c[2]] * b[2]
    t0 = turn[i, 0]
    stiff = (head * (root - pivot)) * t0 + (torso * (root - pivot)) * (1.0 - t0) + shift
    slip = moved - stiff
    far = float(0.0)
    for s in range(offset.shape[1]):
        q = root + offset[i, s] - pivot
        t = turn[i, s]
        p = (head * q) * t + (torso * q) * (1.0 - t) + shift + slip
        out[i, s] = p
        far += p[2]
    depth[i] = far


@wp.kernel
def draw(
    order: wp.array(dtype=wp.int32),
    points: wp.array(dtype=wp.vec3, ndim=2),
    tone: wp.array(dtype=float, ndim=2),
    colour: wp.array(dtype=wp.vec3),
    half_width: wp.array(dtype=float),
    kind: wp.array(dtype=wp.int32),
    person: wp.array(dtype=wp.int32),
    centre: wp.array(dtype=wp.vec3),
    lights: wp.array(dtype=wp.vec3),
    openness: wp.array(dtype=float, ndim=2),
    focal: float,
    widen: float,
    depth: wp.array(dtype=float, ndim=2),
    picture: wp.array(dtype=wp.vec3, ndim=2),
    cover: wp.array(dtype=float, ndim=2),
    best: wp.array(dtype=wp.int32, ndim=2),
):
    """Paint strands in `order`; `cover` gathers how much of a pixel is hair, `best` the last strand there."""
    i = order[wp.tid()]
    height = picture.shape[0]
    width = picture.shape[1]
    count = points.shape[1]
    mid = centre[person[i]]
    for s in range(count - 1):
        a = points[i, s]
        b = points[i, s + 1]
        if a[2] > -0.2 or b[2] > -0.2:
            continue
        ax = 0.5 * float(width) + focal * a[0] / -a[2]
        ay = 0.5 * float(height) - focal * a[1] / -a[2]
        bx = 0.5 * float(width) + focal * b[0] / -b[2]
        by = 0.5 * float(height) - focal * b[1] / -b[2]
        dx = bx - ax
        dy = by - ay
        long = wp.max(wp.abs(dx), wp.abs(dy))
        if long < 1.0e-3 or long > 400.0:
            continue
        if (
            wp.max(ax, bx) < 0.0
            or wp.min(ax, bx) > float(width)
            or wp.max(ay, by) < 0.0
            or wp.min(ay, by) > float(height)
        ):
            continue
        # Shade once for a segment: Kajiya and Kay's cylinder, darkened by the hair's own volume.
        tangent = wp.normalize(b - a)
        p = (a + b) * 0.5
        out_dir = wp.normalize(p - mid)
        view = -wp.normalize(p)
        light = lights[6] * (0.5 + 0.5 * out_dir[1]) + lights[7] * (0.5 - 0.5 * out_dir[1])
        shine = wp.vec3()
        for c in range(3):
            direction = lights[2 * c]
            strength = lights[2 * c + 1]
            volume = wp.clamp((wp.dot(out_dir, direction) + 0.35) / 1.35, 0.0, 1.0)
            along = wp.dot(tangent, direction)
            diffuse = wp.sqrt(wp.max(1.0 - along * along, 0.0))
            light += strength * (1.5 * diffuse * volume)
            h = wp.normalize(direction + view)
            th = wp.dot(tangent, h) + 0.06
            k = wp.sqrt(wp.max(1.0 - th * th, 0.0))
            k2 = k * k
            k4 = k2 * k2
            k16 = k4 * k4 * k4 * k4
            k64 = k16 * k16 * k16 * k16
            shine += strength * (volume * volume * (0.085 * k64 + 0.04 * k16))
        # a taper towards the tip
        fraction = float(s) / float(count)
        hw = half_width[i] * focal / -p[2] * (1.0 - 0.6 * fraction * fraction)
        if kind[i] == 8:
            hw = hw * widen
        dark = tone[i, s] * openness[person[i], 0]
        base = colour[i]
        value = wp.cw_mul(base, light) * dark + wp.cw_mul(shine, wp.vec3(0.55, 0.52, 0.5) + base * 1.5) * dark * dark
        opacity = wp.min(1.0, hw * 2.0)
        hw = wp.max(hw, 0.5)
        steps = int(long) + 1
        flat = wp.abs(dx) > wp.abs(dy)
        # the perpendicular distance per unit across the minor axis
        lean = long / wp.sqrt(dx * dx + dy * dy)
        reach = int(hw / lean + 1.0)
        for k in range(steps):
            f = (float(k) + 0.5) / float(steps)
            x = ax + dx * f
            y = ay + dy * f
            z = -(a[2] + (b[2] - a[2]) * f)
            sx = (x - 0.5 * float(width)) / focal
            sy = (y - 0.5 * float(height)) / focal
            far = z * wp.sqrt(1.0 + sx * sx + sy * sy)
            for m in range(-reach, reach + 1):
                px = int(wp.floor(x))
                py = int(wp.floor(y))
                away = float(0.0)
                if flat:
                    py = py + m
                    away = wp.abs(float(py) + 0.5 - y) * lean
                else:
                    px = px + m
                    away = wp.abs(float(px) + 0.5 - x) * lean
                if px < 0 or py < 0 or px >= width or py >= height:
                    continue
                alpha = opacity * wp.clamp(hw + 0.5 - away, 0.0, 1.0)
                if alpha <= 0.01 or far > depth[py, px] + 0.03:
                    continue
                picture[py, px] = picture[py, px] * (1.0 - alpha) + value * alpha
                if kind[i] != 0:
                    cover[py, px] = cover[py, px] + (1.0 - cover[py, px]) * alpha
                    if alpha > 0.3:
                        best[py, px] = i


@wp.kernel
def outermost(mesh: wp.uint64, centre: wp.vec3, directions: wp.array(dtype=wp.vec3), out: wp.array(dtype=float)):
    """Distance from `centre` to the mesh's outside along each direction, looking inwards from far away."""
    i = wp.tid()
    start = 6.0
    query = wp.mesh_query_ray(mesh, centre + directions[i] * start, -directions[i], start)
    out[i] = 0.0
    if query.result:
        out[i] = start - query.t
