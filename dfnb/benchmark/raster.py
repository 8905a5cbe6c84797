"""What the camera and the sky see of a mesh: Warp kernels for the CPU.

Camera space, decimetres: x right, y up, z towards the viewer; the camera sits at the origin and looks along -z.
"""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a loop may change)

import warp as wp

from dfnb.benchmark.anatomy import Material
from dfnb.benchmark.materials import Look, neckline

wp.set_module_options({"enable_backward": False, "fast_math": True})


@wp.struct
class Geometry:
    mesh: wp.uint64
    normals: wp.array(dtype=wp.vec3)
    canon: wp.array(dtype=wp.vec3)
    paint: wp.array(dtype=wp.vec3)  # lips, ears, openness to the sky (ambient occlusion)
    triangles: wp.array(dtype=wp.int32)
    material: wp.array(dtype=wp.int32)
    person: wp.array(dtype=wp.int32)


@wp.kernel
def rasterise(
    points: wp.array(dtype=wp.vec3),
    geo: Geometry,
    looks: wp.array(dtype=Look),
    focal: float,
    near: wp.array(dtype=float, ndim=2),
    face: wp.array(dtype=wp.int32, ndim=2),
    share: wp.array(dtype=wp.vec2, ndim=2),
):
    """Which triangle every pixel's centre sees: `near` (H, W) holds 1 / distance along z, `share` barycentric weights.

    One thread a triangle; on the CPU threads run one after another, so the depth test needs no lock.
    """
    i = wp.tid()
    i0 = geo.triangles[3 * i]
    i1 = geo.triangles[3 * i + 1]
    i2 = geo.triangles[3 * i + 2]
    a = points[i0]
    b = points[i1]
    c = points[i2]
    if a[2] > -0.3 or b[2] > -0.3 or c[2] > -0.3:
        return
    height = near.shape[0]
    width = near.shape[1]
    cx = 0.5 * float(width) - 0.5
    cy = 0.5 * float(height) - 0.5
    wa = -1.0 / a[2]
    wb = -1.0 / b[2]
    wc = -1.0 / c[2]
    ax = cx + focal * a[0] * wa
    ay = cy - focal * a[1] * wa
    bx = cx + focal * b[0] * wb
    by = cy - focal * b[1] * wb
    dx = cx + focal * c[0] * wc
    dy = cy - focal * c[1] * wc
    area = (bx - ax) * (dy - ay) - (by - ay) * (dx - ax)
    if area >= -1.0e-9:
        return  # seen from behind
    x0 = wp.max(int(wp.ceil(wp.min(wp.min(ax, bx), dx))), 0)
    x1 = wp.min(int(wp.floor(wp.max(wp.max(ax, bx), dx))), width - 1)
    y0 = wp.max(int(wp.ceil(wp.min(wp.min(ay, by), dy))), 0)
    y1 = wp.min(int(wp.floor(wp.max(wp.max(ay, by), dy))), height - 1)
    cloth = geo.material[i] == Material.CLOTH
    inverse = 1.0 / area
    for y in range(y0, y1 + 1):
        fy = float(y)
        for x in range(x0, x1 + 1):
            fx = float(x)
            u = ((bx - fx) * (dy - fy) - (by - fy) * (dx - fx)) * inverse
            v = ((dx - fx) * (ay - fy) - (dy - fy) * (ax - fx)) * inverse
            w = 1.0 - u - v
            if u >= 0.0 and v >= 0.0 and w >= 0.0:
                q = u * wa + v * wb + w * wc
                if q > near[y, x]:
                    ru = u * wa / q
                    rv = v * wb / q
                    hidden = bool(False)
                    if cloth:
                        canon = geo.canon[i0] * ru + geo.canon[i1] * rv + geo.canon[i2] * (1.0 - ru - rv)
                        hidden = canon[1] > neckline(looks[geo.person[i]], canon)
                    if not hidden:
                        near[y, x] = q
                        face[y, x] = i
                        share[y, x] = wp.vec2(ru, rv)


@wp.kernel
def openness(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    reach: float,
    out: wp.array(dtype=float),
):
    """Share of the sky a vertex sees, cosine-weighted: `directions` are even over the sphere."""
    i = wp.tid()
    n = normals[i]
    seen = float(0.0)
    total = float(0.0)
    for k in range(directions.shape[0]):
        c = wp.dot(directions[k], n)
        if c > 0.08:
            total += c
            query = wp.mesh_query_ray(mesh, points[i] + n * 0.015, directions[k], reach)
            if not query.result:
                seen += c
            else:
                seen += c * 0.35 * query.t / reach
    out[i] = seen / wp.max(total, 1.0e-6)


@wp.kernel
def visible(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    first: int,
    stride: int,
    out: wp.array(dtype=wp.int32),
):
    """1 for vertices the camera sees: they face it and nothing lies between. The `first` of each `stride` are asked."""
    i = wp.tid()
    k = (i / first) * stride + i % first
    p = points[k]
    distance = wp.length(p)
    ray = p / distance
    if wp.dot(normals[k], ray) > 0.05:
        out[i] = 0
        return
    query = wp.mesh_query_ray(mesh, wp.vec3(), ray, distance - 0.03)
    out[i] = 1
    if query.result:
        out[i] = 0


@wp.kernel
def outermost(mesh: wp.uint64, centre: wp.vec3, directions: wp.array(dtype=wp.vec3), out: wp.array(dtype=float)):
    """Distance from `centre` to the mesh's outside along each direction, looking inwards from far away."""
    i = wp.tid()
    start = 6.0
    query = wp.mesh_query_ray(mesh, centre + directions[i] * start, -directions[i], start)
    out[i] = 0.0
    if query.result:
        out[i] = start - query.t
