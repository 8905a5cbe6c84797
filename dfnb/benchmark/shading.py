"""Ray casting and shading of heads in one Warp kernel, one ray a sample.

Camera space, decimetres: x right, y up, z towards the viewer; the camera sits at the origin and looks along -z.
Each sample gives albedo, irradiance and specular light apart, so that the irradiance on skin can be blurred
afterwards as light that scatters under the surface is (the red most of all).
"""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a loop may change)

import warp as wp

from dfnb.benchmark.cloth import cloth, cloth_folds
from dfnb.benchmark.raster import Geometry, above_neckline, hash21

wp.config.log_level = wp.LOG_ERROR  # no banner
wp.set_module_options({"enable_backward": False, "fast_math": True})

# Columns of the per-person parameter table, as heads._parameters fills it:
# 0 head rotation (9), 9 and 12 eyeball centres, 15 gaze, 17 iris rim colour, 20 iris inner colour, 23 oil, 24 pupil,
# 25 lip colour, 28 cloth colour, 31 neckline (level, tilt, depth of the V, its slope), 35 kind of cloth, 36 phase,
# 38 iris radius.
P_COUNT = 40
# Rows of the light table: key, fill and rim (direction, colour each), sky, ground.


@wp.func
def texel(maps: wp.array(dtype=wp.vec4ub, ndim=3), person: int, x: float, y: float) -> wp.vec4:
    height = maps.shape[1]
    width = maps.shape[2]
    fx = wp.clamp(x * float(width) - 0.5, 0.0, float(width) - 1.001)
    fy = wp.clamp(y * float(height) - 0.5, 0.0, float(height) - 1.001)
    x0 = int(fx)
    y0 = int(fy)
    ax = fx - float(x0)
    ay = fy - float(y0)
    x1 = wp.min(x0 + 1, width - 1)
    y1 = wp.min(y0 + 1, height - 1)
    c00 = maps[person, y0, x0]
    c01 = maps[person, y0, x1]
    c10 = maps[person, y1, x0]
    c11 = maps[person, y1, x1]
    a = wp.vec4(float(c00[0]), float(c00[1]), float(c00[2]), float(c00[3])) * ((1.0 - ax) * (1.0 - ay))
    b = wp.vec4(float(c01[0]), float(c01[1]), float(c01[2]), float(c01[3])) * (ax * (1.0 - ay))
    c = wp.vec4(float(c10[0]), float(c10[1]), float(c10[2]), float(c10[3])) * ((1.0 - ax) * ay)
    d = wp.vec4(float(c11[0]), float(c11[1]), float(c11[2]), float(c11[3])) * (ax * ay)
    return (a + b + c + d) * (1.0 / 255.0)


@wp.func
def map_place(c: wp.vec3) -> wp.vec2:
    """Where a point of the shared rest head lies in the maps: angle about the vertical axis, and height."""
    r = wp.sqrt(c[0] * c[0] + (c[2] - 0.4) * (c[2] - 0.4))
    y = c[1]
    if y > 7.6:
        y = 7.6 + 0.85 * wp.atan2(y - 7.6, r)
    return wp.vec2(wp.atan2(c[0], c[2] - 0.4) / 6.2831853 + 0.5, (9.0 - y) / 5.0)


@wp.func
def schlick(cosine: float) -> float:
    k = 1.0 - wp.clamp(cosine, 0.0, 1.0)
    return 0.028 + 0.972 * k * k * k * k * k


@wp.func
def glint(n: wp.vec3, h: wp.vec3, rough: float) -> float:
    c = wp.max(wp.dot(n, h), 0.0)
    a = rough * rough
    d = c * c * (a * a - 1.0) + 1.0
    return a * a / (12.566 * d * d + 1.0e-6)


@wp.kernel
def shade(
    pixels: wp.array(dtype=wp.int32),
    slots: wp.array(dtype=wp.int32),
    near: wp.array(dtype=float, ndim=2),
    faces: wp.array(dtype=wp.int32, ndim=2),
    shares: wp.array(dtype=wp.vec2, ndim=2),
    focal: float,
    geo: Geometry,
    maps: wp.array(dtype=wp.vec4ub, ndim=3),
    params: wp.array(dtype=float, ndim=2),
    lights: wp.array(dtype=wp.vec3),
    spread: float,
    out_albedo: wp.array(dtype=wp.vec3),
    out_light: wp.array(dtype=wp.vec3),
    out_gloss: wp.array(dtype=wp.vec3),
    out_key: wp.array(dtype=wp.vec3),
    out_key_gloss: wp.array(dtype=wp.vec3),
    out_lit: wp.array(dtype=float),
    out_depth: wp.array(dtype=float),
    out_code: wp.array(dtype=wp.vec2i),
):
    """Shade the given `pixels` (flat indices) of a rasterised picture into `slots`; rays find shadows and hollows."""
    tid = wp.tid()
    i = slots[tid]
    height = near.shape[0]
    width = near.shape[1]
    py = pixels[tid] / width
    px = pixels[tid] - py * width
    xs = float(px)
    ys = float(py)
    face = faces[py, px]
    if face < 0:
        out_albedo[i] = wp.vec3()
        out_light[i] = wp.vec3()
        out_gloss[i] = wp.vec3()
        out_key[i] = wp.vec3()
        out_key_gloss[i] = wp.vec3()
        out_lit[i] = 0.0
        out_depth[i] = 1.0e4
        out_code[i] = wp.vec2i(0, -1)
        return
    across = wp.vec3((xs + 0.5 - 0.5 * float(width)) / focal, -(ys + 0.5 - 0.5 * float(height)) / focal, -1.0)
    ray = wp.normalize(across)
    t = wp.length(across) / near[py, px]
    u = shares[py, px][0]
    v = shares[py, px][1]
    i0 = geo.triangles[3 * face]
    i1 = geo.triangles[3 * face + 1]
    i2 = geo.triangles[3 * face + 2]
    w = 1.0 - u - v
    canon = geo.canon[i0] * u + geo.canon[i1] * v + geo.canon[i2] * w
    material = geo.material[face]
    p = geo.person[face]
    n = wp.normalize(geo.normals[i0] * u + geo.normals[i1] * v + geo.normals[i2] * w)
    paint = geo.paint[i0] * u + geo.paint[i1] * v + geo.paint[i2] * w
    hit = ray * t
    if wp.dot(n, ray) > 0.0:
        n = wp.normalize(n - ray * (1.05 * wp.dot(n, ray)))
    rot = wp.mat33(
        params[p, 0], params[p, 1], params[p, 2],
        params[p, 3], params[p, 4], params[p, 5],
        params[p, 6], params[p, 7], params[p, 8],
    )  # fmt: skip
    place = map_place(canon)
    open_sky = paint[2]
    albedo = wp.vec3(0.5, 0.5, 0.5)
    rough = float(0.5)
    shine = float(0.0)
    wrap = wp.vec3(0.0, 0.0, 0.0)
    region = 1
    smooth_n = n

    if material == 0:
        tex = texel(maps, p, place[0], place[1])
        albedo = wp.vec3(tex[0] * tex[0], tex[1] * tex[1], tex[2] * tex[2])
        wrap = wp.vec3(0.28, 0.12, 0.08)
        rough = 0.46
        zone = wp.exp(-canon[0] * canon[0] * 9.0) * wp.clamp((canon[1] - 6.2) * 2.0, 0.0, 1.0)
        shine = 0.22 + params[p, 23] * (0.2 + 0.55 * zone)
        if canon[1] < 6.05 and paint[1] < 0.3:
            region = 3
        if paint[1] > 0.5:
            region = 2
        mw = maps.shape[2]
        mh = maps.shape[1]
        mx = wp.clamp(int(place[0] * float(mw)), 1, mw - 2)
        my = wp.clamp(int(place[1] * float(mh)), 1, mh - 2)
        gx = (float(maps[p, my, mx + 1][3]) - float(maps[p, my, mx - 1][3])) / 255.0
        gy = (float(maps[p, my + 1, mx][3]) - float(maps[p, my - 1, mx][3])) / 255.0
        angle = wp.atan2(canon[0], canon[2] - 0.4)
        tangent = rot * wp.vec3(wp.cos(angle), 0.0, -wp.sin(angle))
        bump = tangent * gx + rot * wp.vec3(0.0, -1.0, 0.0) * gy
        n = wp.normalize(n - (bump - n * wp.dot(bump, n)) * 0.35)
        lip = wp.smoothstep(0.25, 0.75, paint[0])
        if lip > 0.5:
            region = 4
        if lip > 0.0:
            crease = 0.5 + 0.5 * wp.sin(canon[0] * 130.0 + 3.0 * wp.sin(canon[0] * 41.0))
            lip_color = wp.vec3(params[p, 25], params[p, 26], params[p, 27])
            albedo = albedo * (1.0 - lip) + lip_color * (lip * (0.88 + 0.16 * crease))
            rough = wp.lerp(rough, 0.33, lip)
            shine = wp.lerp(shine, 0.55 + 0.4 * crease, lip)
    elif material == 1:
        region = 6
        centre = wp.vec3(params[p, 9], params[p, 10], params[p, 11])
        if canon[0] < 0.0:
            centre = wp.vec3(params[p, 12], params[p, 13], params[p, 14])
        n = wp.normalize(hit - centre)
        d = wp.transpose(rot) * n
        yaw = params[p, 15]
        pitch = params[p, 16]
        dx = wp.cos(yaw) * d[0] - wp.sin(yaw) * d[2]
        dz = wp.sin(yaw) * d[0] + wp.cos(yaw) * d[2]
        dy = wp.cos(pitch) * d[1] - wp.sin(pitch) * dz
        dz = wp.sin(pitch) * d[1] + wp.cos(pitch) * dz
        away = wp.acos(wp.clamp(dz, -1.0, 1.0))
        iris_r = params[p, 38]
        q = away / iris_r
        turn = wp.atan2(dy, dx)
        vein = wp.smoothstep(1.2, 2.6, q)
        albedo = wp.vec3(0.70, 0.66, 0.62) * (1.0 - vein) + wp.vec3(0.58, 0.44, 0.40) * vein
        fibre = 0.75 + 0.16 * wp.sin(turn * 23.0 + 2.0 * wp.sin(turn * 7.0)) + 0.14 * wp.sin(turn * 41.0 + q * 4.0)
        blend = wp.smoothstep(0.35, 0.75, q)
        colour = wp.vec3(params[p, 20], params[p, 21], params[p, 22]) * (1.0 - blend)
        colour = colour + wp.vec3(params[p, 17], params[p, 18], params[p, 19]) * blend
        colour = colour * fibre * (1.0 - 0.75 * wp.smoothstep(0.78, 1.0, q))
        colour = colour * wp.smoothstep(params[p, 24] - 0.06, params[p, 24] + 0.06, q)
        inside = 1.0 - wp.smoothstep(0.93, 1.1, q)
        albedo = albedo * (1.0 - inside) + colour * inside
        rough = 0.16
        shine = 1.0
        wrap = wp.vec3(0.3, 0.25, 0.22)
    elif material == 2:
        region = 5
        gap = wp.abs(wp.sin((canon[0]) * 37.0))
        albedo = wp.vec3(0.62, 0.56, 0.45) * (0.72 + 0.28 * wp.smoothstep(0.0, 0.3, gap))
        rough = 0.3
        shine = 0.7
    elif material == 3:
        region = 5
        albedo = wp.vec3(0.42, 0.16, 0.14)
        rough = 0.4
        shine = 0.6
    elif material == 4:
        region = 5
        albedo = wp.vec3(0.26, 0.07, 0.06)
    elif material == 5:
        region = 1
        albedo = wp.vec3(0.42, 0.2, 0.16)
        shine = 1.0
        rough = 0.3
    else:
        region = 9
        painted = cloth(canon, params, p)
        albedo = wp.vec3(painted[0], painted[1], painted[2])
        n = wp.normalize(n + cloth_folds(canon, params[p, 36]) * painted[3])
        smooth_n = n
        rough = 0.8
        shine = 0.1

    # Inside eyes and mouth the openness is found here, by a few short rays: lids and lips move.
    if material >= 1 and material <= 5:
        blocked = float(0.0)
        for k in range(6):
            a = float(k) * 1.0472 + 6.28 * hash21(xs, ys)
            side = wp.normalize(wp.cross(n, wp.vec3(0.3, 0.9, 0.2)))
            other = wp.cross(n, side)
            direction = wp.normalize(n * 0.75 + side * wp.cos(a) + other * wp.sin(a))
            look = wp.mesh_query_ray(geo.mesh, hit + n * 0.004, direction, 0.6)
            if look.result:
                blocked += 1.0 / 6.0
        open_sky = 1.0 - 0.9 * blocked
        if material == 2:
            open_sky = wp.max(open_sky, 0.3)

    key = lights[0]
    jitter = wp.vec3(hash21(xs + 0.37, ys) - 0.5, hash21(xs, ys + 0.71) - 0.5, hash21(xs + 1.3, ys + 2.1) - 0.5)
    lit = float(-1.0)  # not asked
    facing = wp.dot(smooth_n, key)
    ask = (px % 4 == 0) and (py % 4 == 0)
    if facing <= -0.25:
        lit = 0.0
    elif ask or region == 6 or region == 5:
        lit = 1.0
        toward = wp.normalize(key + jitter * spread)
        from_point = hit + smooth_n * 0.012 + key * 0.004
        hit_by = wp.mesh_query_ray(geo.mesh, from_point, toward, 12.0)
        if hit_by.result:
            lit = 0.0
            if geo.material[hit_by.face] == 6:
                j0 = geo.triangles[3 * hit_by.face]
                j1 = geo.triangles[3 * hit_by.face + 1]
                j2 = geo.triangles[3 * hit_by.face + 2]
                at = geo.canon[j0] * hit_by.u + geo.canon[j1] * hit_by.v + geo.canon[j2] * (1.0 - hit_by.u - hit_by.v)
                if above_neckline(at, params, geo.person[hit_by.face]):
                    lit = 1.0
    view = -ray
    light = wp.vec3()
    gloss = wp.vec3()
    up = 0.5 + 0.5 * n[1]
    ambient = lights[6] * up + lights[7] * (1.0 - up)
    # Light that bounces in a hollow of skin comes back redder.
    hollow = wp.vec3(wp.pow(open_sky, 0.8), wp.pow(open_sky, 1.1), wp.pow(open_sky, 1.2))
    light = wp.cw_mul(ambient, hollow)
    for c in range(3):
        direction = lights[2 * c]
        colour = lights[2 * c + 1]
        ndl = wp.dot(n, direction)
        diffuse = wp.vec3(
            wp.clamp((ndl + wrap[0]) / (1.0 + wrap[0]), 0.0, 1.0),
            wp.clamp((ndl + wrap[1]) / (1.0 + wrap[1]), 0.0, 1.0),
            wp.clamp((ndl + wrap[2]) / (1.0 + wrap[2]), 0.0, 1.0),
        )
        half = wp.normalize(direction + view)
        f = schlick(wp.dot(half, view))
        bright = colour * (glint(n, half, rough) * f * shine * wp.max(ndl, 0.0) * 3.0)
        if c == 0:
            out_key[i] = wp.cw_mul(colour, diffuse)
            out_key_gloss[i] = bright
        else:
            seen = wp.clamp(open_sky * 1.3, 0.0, 1.0)
            light += wp.cw_mul(colour, diffuse) * seen
            gloss += bright * seen
    rim = schlick(wp.dot(n, view))
    gloss += ambient * (rim * shine * 0.25 * open_sky)
    if material == 1:
        # The window or lamp in the eye: a small bright patch where the cornea mirrors the key light.
        mirror = wp.dot(wp.normalize(key + view), n)
        if mirror > 0.985:
            gloss += lights[1] * (0.5 * wp.smoothstep(0.985, 0.995, mirror))
    out_albedo[i] = albedo
    out_light[i] = light
    out_gloss[i] = gloss
    out_lit[i] = lit
    out_depth[i] = t
    out_code[i] = wp.vec2i(region, p)
