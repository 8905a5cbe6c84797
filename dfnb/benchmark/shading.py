"""Ray casting and shading of heads in one Warp kernel, one ray a sample.

Camera space, decimetres: x right, y up, z towards the viewer; the camera sits at the origin and looks along -z.
Each sample keeps albedo, irradiance and specular light apart, so that the irradiance on skin can be blurred
afterwards, as light that scatters under the surface is (the red most of all).
"""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a loop may change)

import warp as wp

from dfnb.benchmark import materials
from dfnb.benchmark.anatomy import Material, Region
from dfnb.benchmark.materials import Look, Surface, hash21, neckline
from dfnb.benchmark.raster import Geometry

wp.set_module_options({"enable_backward": False, "fast_math": True})

# Rows of the light table: key, fill and rim (direction, colour each), sky, ground.
SKY, GROUND = wp.constant(6), wp.constant(7)


@wp.struct
class Sample:
    """What one ray found. Light is linear RGB; that of the key light stands apart, its shadow left out."""

    albedo: wp.vec3
    light: wp.vec3  # irradiance
    gloss: wp.vec3  # specular radiance
    key: wp.vec3
    key_gloss: wp.vec3
    lit: float  # 1 lit by the key light, 0 in its shadow, -1 not looked at
    depth: float  # distance from the camera
    region: int
    person: int


@wp.func
def at_corners(values: wp.array(dtype=wp.vec3), geo: Geometry, face: int, u: float, v: float) -> wp.vec3:
    """Interpolate a value of the vertices within a triangle, by barycentric weights."""
    i0 = geo.triangles[3 * face]
    i1 = geo.triangles[3 * face + 1]
    i2 = geo.triangles[3 * face + 2]
    return values[i0] * u + values[i1] * v + values[i2] * (1.0 - u - v)


@wp.func
def surface_at(
    geo: Geometry, maps: wp.array(dtype=wp.vec4ub, ndim=3), look: Look, face: int, canon: wp.vec3, paint: wp.vec3,
    normal: wp.vec3, hit: wp.vec3,
) -> Surface:  # fmt: skip
    material = geo.material[face]
    if material == Material.SKIN:
        return materials.skin(look, maps, geo.person[face], canon, paint, normal)
    if material == Material.EYE:
        return materials.eye(look, canon, hit)
    if material == Material.CLOTH:
        return materials.cloth(look, canon, normal)
    return materials.inner(material, canon, normal)


@wp.func
def hollow_openness(mesh: wp.uint64, hit: wp.vec3, n: wp.vec3, seed: float) -> float:
    """Openness to the sky inside eyes and mouth, by a few short rays: lids and lips move. seed: 0..1."""
    blocked = float(0.0)
    for k in range(6):
        a = float(k) * 1.0472 + 6.28 * seed
        side = wp.normalize(wp.cross(n, wp.vec3(0.3, 0.9, 0.2)))
        other = wp.cross(n, side)
        direction = wp.normalize(n * 0.75 + side * wp.cos(a) + other * wp.sin(a))
        look = wp.mesh_query_ray(mesh, hit + n * 0.004, direction, 0.6)
        if look.result:
            blocked += 1.0 / 6.0
    return 1.0 - 0.9 * blocked


@wp.func
def sees_key_light(geo: Geometry, looks: wp.array(dtype=Look), start: wp.vec3, toward: wp.vec3) -> float:
    """1 where nothing lies between a point and the key light, else 0; cloth above its neckline isn't there."""
    query = wp.mesh_query_ray(geo.mesh, start, toward, 12.0)
    if not query.result:
        return 1.0
    if geo.material[query.face] == Material.CLOTH:
        at = at_corners(geo.canon, geo, query.face, query.u, query.v)
        if at[1] > neckline(looks[geo.person[query.face]], at):
            return 1.0
    return 0.0


@wp.func
def schlick(cosine: float) -> float:
    """Fresnel reflectance of skin by Schlick's (1994) approximation."""
    k = 1.0 - wp.clamp(cosine, 0.0, 1.0)
    return 0.028 + 0.972 * k * k * k * k * k


@wp.func
def glint(n: wp.vec3, h: wp.vec3, rough: float) -> float:
    """The GGX distribution of microfacets (Walter et al. 2007), roughness squared."""
    c = wp.max(wp.dot(n, h), 0.0)
    a = rough * rough
    d = c * c * (a * a - 1.0) + 1.0
    return a * a / (12.566 * d * d + 1.0e-6)


@wp.func
def diffuse(surface: Surface, direction: wp.vec3) -> wp.vec3:
    """Irradiance from a direction by channel: Lambert's, wrapped round the edge of the shadow."""
    ndl = wp.dot(surface.normal, direction)
    wrap = surface.wrap
    return wp.vec3(
        wp.clamp((ndl + wrap[0]) / (1.0 + wrap[0]), 0.0, 1.0),
        wp.clamp((ndl + wrap[1]) / (1.0 + wrap[1]), 0.0, 1.0),
        wp.clamp((ndl + wrap[2]) / (1.0 + wrap[2]), 0.0, 1.0),
    )


@wp.func
def specular(surface: Surface, direction: wp.vec3, view: wp.vec3) -> float:
    """Share of a light's colour that is mirrored towards the viewer."""
    half = wp.normalize(direction + view)
    f = schlick(wp.dot(half, view))
    ndl = wp.dot(surface.normal, direction)
    return glint(surface.normal, half, surface.rough) * f * surface.shine * wp.max(ndl, 0.0) * 3.0


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
    looks: wp.array(dtype=Look),
    lights: wp.array(dtype=wp.vec3),
    spread: float,
    samples: wp.array(dtype=Sample),
):
    """Shade the given `pixels` (flat indices) of a rasterised picture into `slots`; rays find shadows and hollows.

    Where a pixel sees nobody, its sample stays as it was.
    """
    tid = wp.tid()
    height = near.shape[0]
    width = near.shape[1]
    py = pixels[tid] / width
    px = pixels[tid] - py * width
    xs = float(px)
    ys = float(py)
    face = faces[py, px]
    if face < 0:
        return

    # the point, and what it is made of
    across = wp.vec3((xs + 0.5 - 0.5 * float(width)) / focal, -(ys + 0.5 - 0.5 * float(height)) / focal, -1.0)
    ray = wp.normalize(across)
    s = Sample()
    s.depth = wp.length(across) / near[py, px]
    s.person = geo.person[face]
    hit = ray * s.depth
    u = shares[py, px][0]
    v = shares[py, px][1]
    canon = at_corners(geo.canon, geo, face, u, v)
    paint = at_corners(geo.paint, geo, face, u, v)
    n = wp.normalize(at_corners(geo.normals, geo, face, u, v))
    if wp.dot(n, ray) > 0.0:
        n = wp.normalize(n - ray * (1.05 * wp.dot(n, ray)))
    surface = surface_at(geo, maps, looks[s.person], face, canon, paint, n, hit)
    material = geo.material[face]
    s.region = surface.region
    s.albedo = surface.albedo

    open_sky = paint[2]
    if material >= Material.EYE and material <= Material.SOCKET:
        open_sky = hollow_openness(geo.mesh, hit, surface.normal, hash21(xs, ys))
        if material == Material.TEETH:
            open_sky = wp.max(open_sky, 0.3)

    # the key light's shadow: every fourth pixel of every fourth row, `film` fills in the rest; eyes and mouth all
    key = lights[0]
    if material == Material.CLOTH:
        n = surface.normal
    s.lit = -1.0
    if wp.dot(n, key) <= -0.25:
        s.lit = 0.0
    elif (px % 4 == 0 and py % 4 == 0) or s.region == Region.EYE or s.region == Region.MOUTH:
        jitter = wp.vec3(hash21(xs + 0.37, ys) - 0.5, hash21(xs, ys + 0.71) - 0.5, hash21(xs + 1.3, ys + 2.1) - 0.5)
        toward = wp.normalize(key + jitter * spread)
        s.lit = sees_key_light(geo, looks, hit + n * 0.012 + key * 0.004, toward)

    # light from all around; what bounces in a hollow of skin comes back redder
    view = -ray
    up = 0.5 + 0.5 * surface.normal[1]
    ambient = lights[SKY] * up + lights[GROUND] * (1.0 - up)
    hollow = wp.vec3(wp.pow(open_sky, 0.8), wp.pow(open_sky, 1.1), wp.pow(open_sky, 1.2))
    s.light = wp.cw_mul(ambient, hollow)

    s.key = wp.cw_mul(lights[1], diffuse(surface, key))
    s.key_gloss = lights[1] * specular(surface, key, view)
    seen = wp.clamp(open_sky * 1.3, 0.0, 1.0)
    for k in range(1, 3):  # fill and rim light
        direction = lights[2 * k]
        colour = lights[2 * k + 1]
        s.light += wp.cw_mul(colour, diffuse(surface, direction)) * seen
        s.gloss += colour * specular(surface, direction, view) * seen
    rim = schlick(wp.dot(surface.normal, view))
    s.gloss += ambient * (rim * surface.shine * 0.25 * open_sky)
    if material == Material.EYE:
        # the window or lamp in the eye: a small bright patch where the cornea mirrors the key light
        mirror = wp.dot(wp.normalize(key + view), surface.normal)
        if mirror > 0.985:
            s.gloss += lights[1] * (0.5 * wp.smoothstep(0.985, 0.995, mirror))
    samples[slots[tid]] = s
