"""What light meets on a head: skin and lips, eyes, the inside of the mouth, clothes. Warp functions, a point at a time.

Points of the shared rest head (`canon`, decimetres) decide what is painted where, so that it sticks to a moving face.
"""

# ruff: noqa: UP018  (Warp: `float(x)` declares a variable that a branch may change)

import enum

import warp as wp

from dfnb.benchmark.anatomy import Material, Region

wp.config.log_level = wp.LOG_ERROR  # no banner
wp.set_module_options({"enable_backward": False, "fast_math": True})


class Garment(enum.IntEnum):
    """What a person wears."""

    PULLOVER = 0
    CHECKED = 1
    JACKET = 2
    SHIRT = 3


@wp.struct
class Look:
    """One person in one frame, as the kernels know them. Colours are linear RGB."""

    head: wp.mat33  # rotation from the rest head to camera space
    left_eye: wp.vec3  # centres of the eyeballs, camera space
    right_eye: wp.vec3
    gaze: wp.vec2  # yaw and pitch of the eyes relative to the head, radians
    iris_rim: wp.vec3
    iris_inner: wp.vec3
    iris_radius: float  # half-angle seen from the eyeball's centre, radians
    pupil: float  # share of the iris's radius
    lips: wp.vec3
    oil: float  # 0..1: how much the skin shines
    garment: int
    cloth: wp.vec3
    phase: float  # where the folds lie, and the tie's colour
    neckline: wp.vec4  # height at the front, its tilt, depth of the V, the slope of its sides


@wp.struct
class Surface:
    """A point as light meets it."""

    region: int
    normal: wp.vec3
    albedo: wp.vec3
    rough: float
    shine: float
    wrap: wp.vec3  # by how much light reaches round the edge of its shadow, by channel


@wp.func
def hash21(x: float, y: float) -> float:
    """A number in 0..1 that looks random but depends on the place alone."""
    s = wp.sin(x * 12.9898 + y * 78.233) * 43758.547
    return s - wp.floor(s)


@wp.func
def map_place(canon: wp.vec3) -> wp.vec2:
    """Where a point lies in the skin maps, 0..1: angle about the vertical axis, and height (see `textures.grid`)."""
    r = wp.sqrt(canon[0] * canon[0] + (canon[2] - 0.4) * (canon[2] - 0.4))
    y = canon[1]
    if y > 7.6:
        y = 7.6 + 0.85 * wp.atan2(y - 7.6, r)
    return wp.vec2(wp.atan2(canon[0], canon[2] - 0.4) / 6.2831853 + 0.5, (9.0 - y) / 5.0)


@wp.func
def texel(maps: wp.array(dtype=wp.vec4ub, ndim=3), person: int, x: float, y: float) -> wp.vec4:
    """A person's skin map at (x, y) in 0..1, interpolated bilinearly; 0..1."""
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
def relief(maps: wp.array(dtype=wp.vec4ub, ndim=3), person: int, place: wp.vec2) -> wp.vec2:
    """Slope of the skin's relief (the maps' fourth channel) along x and y of the map."""
    height = maps.shape[1]
    width = maps.shape[2]
    x = wp.clamp(int(place[0] * float(width)), 1, width - 2)
    y = wp.clamp(int(place[1] * float(height)), 1, height - 2)
    gx = (float(maps[person, y, x + 1][3]) - float(maps[person, y, x - 1][3])) / 255.0
    gy = (float(maps[person, y + 1, x][3]) - float(maps[person, y - 1, x][3])) / 255.0
    return wp.vec2(gx, gy)


@wp.func
def skin(
    look: Look, maps: wp.array(dtype=wp.vec4ub, ndim=3), person: int, canon: wp.vec3, paint: wp.vec3, normal: wp.vec3
) -> Surface:
    """Skin with its pores and lines, oily in the middle of the face; lips where `paint`[0] says so."""
    s = Surface()
    place = map_place(canon)
    tex = texel(maps, person, place[0], place[1])
    s.albedo = wp.vec3(tex[0] * tex[0], tex[1] * tex[1], tex[2] * tex[2])
    s.wrap = wp.vec3(0.28, 0.12, 0.08)
    s.rough = 0.46
    zone = wp.exp(-canon[0] * canon[0] * 9.0) * wp.clamp((canon[1] - 6.2) * 2.0, 0.0, 1.0)
    s.shine = 0.22 + look.oil * (0.2 + 0.55 * zone)
    s.region = Region.SKIN
    if canon[1] < 6.05 and paint[1] < 0.3:
        s.region = Region.NECK
    if paint[1] > 0.5:
        s.region = Region.EAR

    slope = relief(maps, person, place)
    angle = wp.atan2(canon[0], canon[2] - 0.4)
    tangent = look.head * wp.vec3(wp.cos(angle), 0.0, -wp.sin(angle))
    bump = tangent * slope[0] + look.head * wp.vec3(0.0, -1.0, 0.0) * slope[1]
    s.normal = wp.normalize(normal - (bump - normal * wp.dot(bump, normal)) * 0.35)

    lip = wp.smoothstep(0.25, 0.75, paint[0])
    if lip > 0.5:
        s.region = Region.LIP
    if lip > 0.0:
        crease = 0.5 + 0.5 * wp.sin(canon[0] * 130.0 + 3.0 * wp.sin(canon[0] * 41.0))
        s.albedo = s.albedo * (1.0 - lip) + look.lips * (lip * (0.88 + 0.16 * crease))
        s.rough = wp.lerp(s.rough, 0.33, lip)
        s.shine = wp.lerp(s.shine, 0.55 + 0.4 * crease, lip)
    return s


@wp.func
def eye(look: Look, canon: wp.vec3, hit: wp.vec3) -> Surface:
    """The eyeball: white with veins at its corners, an iris of fibres that darkens to its rim, the pupil."""
    s = Surface()
    s.region = Region.EYE
    s.rough = 0.16
    s.shine = 1.0
    s.wrap = wp.vec3(0.3, 0.25, 0.22)
    centre = look.left_eye
    if canon[0] < 0.0:
        centre = look.right_eye
    s.normal = wp.normalize(hit - centre)
    d = wp.transpose(look.head) * s.normal
    yaw = look.gaze[0]
    pitch = look.gaze[1]
    dx = wp.cos(yaw) * d[0] - wp.sin(yaw) * d[2]
    dz = wp.sin(yaw) * d[0] + wp.cos(yaw) * d[2]
    dy = wp.cos(pitch) * d[1] - wp.sin(pitch) * dz
    dz = wp.sin(pitch) * d[1] + wp.cos(pitch) * dz
    q = wp.acos(wp.clamp(dz, -1.0, 1.0)) / look.iris_radius  # 0 the pupil's centre, 1 the iris's rim
    turn = wp.atan2(dy, dx)
    vein = wp.smoothstep(1.2, 2.6, q)
    white = wp.vec3(0.70, 0.66, 0.62) * (1.0 - vein) + wp.vec3(0.58, 0.44, 0.40) * vein
    fibre = 0.75 + 0.16 * wp.sin(turn * 23.0 + 2.0 * wp.sin(turn * 7.0)) + 0.14 * wp.sin(turn * 41.0 + q * 4.0)
    blend = wp.smoothstep(0.35, 0.75, q)
    iris = look.iris_inner * (1.0 - blend)
    iris = iris + look.iris_rim * blend
    iris = iris * fibre * (1.0 - 0.75 * wp.smoothstep(0.78, 1.0, q))
    iris = iris * wp.smoothstep(look.pupil - 0.06, look.pupil + 0.06, q)
    inside = 1.0 - wp.smoothstep(0.93, 1.1, q)
    s.albedo = white * (1.0 - inside) + iris * inside
    return s


@wp.func
def inner(material: int, canon: wp.vec3, normal: wp.vec3) -> Surface:
    """Teeth, tongue and the mouth's lining; the eye sockets' moist skin."""
    s = Surface()
    s.normal = normal
    s.region = Region.MOUTH
    if material == Material.TEETH:
        gap = wp.abs(wp.sin((canon[0]) * 37.0))
        s.albedo = wp.vec3(0.62, 0.56, 0.45) * (0.72 + 0.28 * wp.smoothstep(0.0, 0.3, gap))
        s.rough = 0.3
        s.shine = 0.7
    elif material == Material.TONGUE:
        s.albedo = wp.vec3(0.42, 0.16, 0.14)
        s.rough = 0.4
        s.shine = 0.6
    elif material == Material.MOUTH:
        s.albedo = wp.vec3(0.26, 0.07, 0.06)
        s.rough = 0.5
    else:
        s.region = Region.SKIN
        s.albedo = wp.vec3(0.42, 0.2, 0.16)
        s.rough = 0.3
        s.shine = 1.0
    return s


@wp.func
def neckline(look: Look, canon: wp.vec3) -> float:
    """Height at which the garment ends above a point of the rest body."""
    x = wp.abs(canon[0])
    level = look.neckline[0] - look.neckline[1] * (canon[2] - 0.1) + 1.9 * x * x
    if canon[2] > 0.0:
        level = level - wp.max(look.neckline[2] - x * look.neckline[3], 0.0)
    return level


@wp.func
def pullover(look: Look, canon: wp.vec3) -> float:
    """A pullover's brightness: darker along its hem, and in stripes both ways where it is checked."""
    edge = 1.0 - 0.16 * (1.0 - wp.smoothstep(0.08, 0.12, neckline(look, canon) - canon[1]))
    if look.garment == Garment.CHECKED:
        if wp.sin(canon[1] * 30.0) > 0.5:
            edge = edge * 0.7
        if wp.sin(canon[0] * 30.0) > 0.5:
            edge = edge * 0.7
    return edge


@wp.func
def jacket(look: Look, canon: wp.vec3) -> wp.vec4:
    """A jacket with lapels, and in its opening a shirt, often with a tie: colour and depth of the folds."""
    x = wp.abs(canon[0])
    y = canon[1]
    lapel = x - wp.clamp((y - 3.3) * 0.27, 0.0, 0.56)
    coat = wp.vec3(0.035, 0.037, 0.045) + look.cloth * 0.12
    folds = float(0.10)
    if wp.clamp(canon[2] * 6.0, 0.0, 1.0) > 0.2:
        if lapel > 0.0 and lapel < 0.30 - 0.25 * wp.abs(y - 5.0):
            coat = coat * 1.2
        coat = coat * (1.0 - 0.5 * wp.exp(-lapel * lapel * 4000.0))
        front = wp.vec3(0.55, 0.56, 0.58) * (0.78 + 0.22 * wp.smoothstep(0.0, 0.12, -lapel))
        if look.phase > 2.0 and y < 5.35:
            knot = 0.075 + 0.05 * wp.clamp(5.2 - y, 0.0, 1.0)
            tie = wp.vec3(0.12 + 0.02 * look.phase, 0.03, 0.05) * (0.7 + 0.3 * wp.sin((y + canon[0]) * 40.0))
            inside = 1.0 - wp.smoothstep(knot - 0.012, knot + 0.012, x)
            front = front * (1.0 - inside) + tie * inside
        outer = wp.smoothstep(-0.012, 0.012, lapel)
        coat = front * (1.0 - outer) + coat * outer
        folds = 0.04 + 0.06 * outer
    return wp.vec4(coat[0], coat[1], coat[2], folds)


@wp.func
def shirt(look: Look, canon: wp.vec3) -> float:
    """A shirt's brightness: a collar that stands off, a placket with buttons."""
    x = wp.abs(canon[0])
    y = canon[1]
    collar = 5.62 - 0.75 * wp.max(canon[2], 0.0) * wp.clamp(1.0 - x * 0.8, 0.0, 1.0) + 0.35 * x
    above = y - collar
    edge = (1.0 + 0.05 * wp.smoothstep(-0.01, 0.01, above)) * (1.0 - 0.30 * wp.exp(-above * above * 1500.0))
    if wp.clamp(canon[2] * 6.0, 0.0, 1.0) > 0.2 and y < collar:
        edge = edge * (1.0 - 0.25 * wp.exp(-(x - 0.09) * (x - 0.09) * 12000.0))
        spot = y * 2.2 - wp.floor(y * 2.2) - 0.5
        if x * x + spot * spot * 0.2 < 0.0011:
            edge = 0.5
    return edge


@wp.func
def cloth(look: Look, canon: wp.vec3, normal: wp.vec3) -> Surface:
    """The garment's weave and folds."""
    s = Surface()
    s.region = Region.CLOTH
    s.rough = 0.8
    s.shine = 0.1
    s.albedo = look.cloth
    edge = float(1.0)
    depth = float(0.10)
    if look.garment == Garment.JACKET:
        painted = jacket(look, canon)
        s.albedo = wp.vec3(painted[0], painted[1], painted[2])
        depth = painted[3]
    elif look.garment == Garment.SHIRT:
        edge = shirt(look, canon)
    else:
        edge = pullover(look, canon)
    weave = 0.95 + 0.10 * hash21(wp.floor(canon[0] * 190.0), wp.floor(canon[1] * 190.0))
    s.albedo = s.albedo * (edge * weave)
    x = canon[0]
    y = canon[1]
    across = wp.sin(x * 5.0 + 3.0 * wp.sin(y * 2.3 + look.phase) + look.phase) + 0.6 * wp.sin(x * 11.0 - y * 6.0)
    along = wp.sin(y * 6.0 + 2.5 * wp.sin(x * 2.1 + look.phase)) + 0.5 * wp.sin(y * 13.0 + x * 7.0 + look.phase)
    s.normal = wp.normalize(normal + wp.vec3(across, along * 0.8, 0.0) * depth)
    return s
