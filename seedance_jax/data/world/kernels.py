"""The compiled loops of the ray caster.

Vectors are tuples of three floats, so that nothing is allocated per ray. No fast-math, so that the
compiler may not reorder sums. All in one file: Numba compiles a cached loop anew when its own file
changes, and would not notice an edit of what it inlines from another.
"""

import math
from typing import NamedTuple

import numpy as np

try:
    import numba
except ImportError as error:
    raise ImportError(
        'the synthetic world draws with numba: pip install "seedance-jax[world]"'
    ) from error

from seedance_jax.data.world.floors import TEXELS_PER_METRE

SPHERE, BOX, CYLINDER = 0, 1, 2
FLOOR, SKY = -1, -2
FAR = 60.0  # metres; the floor ends here, in haze
SUN_RADIUS = 0.06
SUBSAMPLES = 3  # squared, in pixels of high contrast
CONTRAST = 0.035

inline = numba.njit(error_model="numpy", forceinline=True)
kernel = numba.njit(error_model="numpy", nogil=True, cache=True)


class Things(NamedTuple):
    """Looks and poses of K objects; only the poses change, over N frames."""

    kind: np.ndarray  # [K] int
    half: np.ndarray  # [K, 3]
    color: np.ndarray  # [K, 3] linear RGB
    accent: np.ndarray  # [K, 3] second colour of the texture
    stripes: np.ndarray  # [K, 3] cells per radius of the texture along the object's axes
    position: np.ndarray  # [N, K, 3]
    rotation: np.ndarray  # [N, K, 3, 3] object -> world


class Views(NamedTuple):
    """N pinhole cameras with square pixels and the principal point in the middle."""

    focal: np.ndarray  # [N] pixels
    rotation: np.ndarray  # [N, 3, 3] world -> camera
    eye: np.ndarray  # [N, 3]


class Surroundings(NamedTuple):
    """Floor, sky and sun."""

    pattern: np.ndarray  # [S, S] in [0, 1]
    floor_low: np.ndarray  # [3] linear RGB
    floor_high: np.ndarray
    horizon: np.ndarray
    zenith: np.ndarray
    sun: np.ndarray
    sun_direction: np.ndarray  # [3] towards the sun
    ambient: float


@inline
def _vector(a):
    return a[0], a[1], a[2]


@inline
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inline
def _subtract(a, b):
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@inline
def _along(origin, direction, t):
    return origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]


@inline
def _unit(a):
    s = 1.0 / math.sqrt(_dot(a, a))
    return a[0] * s, a[1] * s, a[2] * s


@inline
def _rotate(m, v):
    return (
        m[0, 0] * v[0] + m[0, 1] * v[1] + m[0, 2] * v[2],
        m[1, 0] * v[0] + m[1, 1] * v[1] + m[1, 2] * v[2],
        m[2, 0] * v[0] + m[2, 1] * v[1] + m[2, 2] * v[2],
    )


@inline
def _rotate_back(m, v):
    return (
        m[0, 0] * v[0] + m[1, 0] * v[1] + m[2, 0] * v[2],
        m[0, 1] * v[0] + m[1, 1] * v[1] + m[2, 1] * v[2],
        m[0, 2] * v[0] + m[1, 2] * v[1] + m[2, 2] * v[2],
    )


@inline
def _mix(a, b, share):
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


@inline
def _slab(origin, direction, half):
    """Where a line is between -half and half along one axis."""
    inverse = 1.0 / (direction if abs(direction) > 1e-9 else 1e-9)
    a, b = (-half - origin) * inverse, (half - origin) * inverse
    return min(a, b), max(a, b)


@inline
def _quadratic(a, b, c):
    """Where a + 2 b t + c t^2 < 0; an empty interval if nowhere."""
    q = b * b - a * c
    if q <= 0.0 or c < 1e-12:
        inside = c < 1e-12 and a < 0.0
        return (-1e9, 1e9) if inside else (1e9, -1e9)
    s = math.sqrt(q)
    return (-b - s) / c, (-b + s) / c


@inline
def _hit(kind, half, o, d):
    """Nearest t > 0 at which the ray o + t d (object axes) enters the object, else inf."""
    if kind == SPHERE:
        near, far = _quadratic(_dot(o, o) - half[0] * half[0], _dot(o, d), _dot(d, d))
    else:
        near, far = _slab(o[2], d[2], half[2])
        if kind == BOX:
            x0, x1 = _slab(o[0], d[0], half[0])
            y0, y1 = _slab(o[1], d[1], half[1])
            near, far = max(near, x0, y0), min(far, x1, y1)
        else:
            a = o[0] * o[0] + o[1] * o[1] - half[0] * half[0]
            r0, r1 = _quadratic(a, o[0] * d[0] + o[1] * d[1], d[0] * d[0] + d[1] * d[1])
            near, far = max(near, r0), min(far, r1)
    return near if far >= near and near > 1e-4 else np.inf


@inline
def _hit_object(things, n, k, o, d):
    """As `_hit`, for object k at frame n and a ray in world axes."""
    half = things.half[k]
    relative = _subtract(o, things.position[n, k])
    bound = half[0] * half[0]
    if things.kind[k] != SPHERE:
        bound = _dot(half, half)
    b = _dot(relative, d)
    if b * b < _dot(d, d) * (_dot(relative, relative) - bound):
        return np.inf
    m = things.rotation[n, k]
    return _hit(things.kind[k], half, _rotate_back(m, relative), _rotate_back(m, d))


@inline
def _pixel_ray(views, n, x, y, width, height):
    """World direction, with camera depth 1, through image point (x, y)."""
    f = views.focal[n]
    return _rotate_back(views.rotation[n], ((x - 0.5 * width) / f, (y - 0.5 * height) / f, 1.0))


@inline
def _floor_or_sky(o, d):
    """Depth and number of what a ray sees where there are no objects."""
    if d[2] < 0.0:
        t = -o[2] / d[2]
        if t < FAR:
            return t, FLOOR
    return np.inf, SKY


@inline
def _nearest(things, n, o, d):
    """Depth and number of what the ray sees first."""
    best, seen = _floor_or_sky(o, d)
    for k in range(len(things.kind)):
        t = _hit_object(things, n, k, o, d)
        if t < best:
            best, seen = t, k
    return best, seen


@kernel
def trace_frames(
    things: tuple, views: tuple, depth: np.ndarray, seen: np.ndarray, alone: np.ndarray
) -> None:
    """Fills depth and seen [T, H, W] and counts alone [T, K]; see `render.trace`."""
    frames, height, width = depth.shape
    for n in range(frames):
        o = _vector(views.eye[n])
        for i in range(height):
            for j in range(width):
                d = _pixel_ray(views, n, j + 0.5, i + 0.5, width, height)
                best, first = _floor_or_sky(o, d)
                for k in range(len(things.kind)):
                    t = _hit_object(things, n, k, o, d)
                    alone[n, k] += t < np.inf
                    if t < best:
                        best, first = t, k
                depth[n, i, j], seen[n, i, j] = best, first


@inline
def _normal(kind, half, p):
    """Outward normal, object axes, at the surface point p."""
    if kind == SPHERE:
        return p[0] / half[0], p[1] / half[0], p[2] / half[0]
    if kind == BOX:
        x, y, z = abs(p[0]) / half[0], abs(p[1]) / half[1], abs(p[2]) / half[2]
        if x >= y and x >= z:
            return math.copysign(1.0, p[0]), 0.0, 0.0
        if y >= z:
            return 0.0, math.copysign(1.0, p[1]), 0.0
        return 0.0, 0.0, math.copysign(1.0, p[2])
    if abs(p[2]) > half[2] - 1e-4:
        return 0.0, 0.0, math.copysign(1.0, p[2])
    return p[0] / half[0], p[1] / half[0], 0.0


@inline
def _object_color(things, k, p):
    """Linear RGB of the texture at object point p: cells along each textured axis alternate."""
    cells = things.stripes[k]
    radius = things.half[k, 0]
    odd = 0
    for axis in range(3):
        if cells[axis] > 0.0:
            odd += math.floor(p[axis] / radius * cells[axis] + 0.5)
    return _vector(things.accent[k]) if odd % 2 else _vector(things.color[k])


@inline
def _floor_color(world, p, depth):
    """Linear RGB of the floor; the pattern fades with distance, before it would alias."""
    size = len(world.pattern)
    u, v = p[0] * TEXELS_PER_METRE, p[1] * TEXELS_PER_METRE
    i, j = math.floor(v), math.floor(u)
    a, b = v - i, u - j
    i0, j0 = int(i) % size, int(j) % size
    i1, j1 = (i0 + 1) % size, (j0 + 1) % size
    t = world.pattern
    value = (t[i0, j0] * (1 - b) + t[i0, j1] * b) * (1 - a) + (
        t[i1, j0] * (1 - b) + t[i1, j1] * b
    ) * a
    fade = min(max(1.3 - depth / 12.0, 0.1), 1.0)
    return _mix(world.floor_low, world.floor_high, 0.5 + (value - 0.5) * fade)


@inline
def _lit(things, n, p, to_sun):
    for k in range(len(things.kind)):
        if _hit_object(things, n, k, p, to_sun) < np.inf:
            return 0.0
    return 1.0


@inline
def _openness(things, n, seen, p, normal):
    """Ambient occlusion: the share of the sky that other objects, taken for spheres, leave open."""
    closed = 0.0
    for k in range(len(things.kind)):
        if k != seen:
            v = _subtract(things.position[n, k], p)
            square = _dot(v, v)
            half = things.half[k]
            radius = half[0] if things.kind[k] == SPHERE else 1.05 * max(half[0], half[2])
            facing = max(_dot(v, normal), 0.0) / math.sqrt(square)
            closed += facing * min(radius * radius / square, 1.0)
    return max(1.0 - 0.75 * closed, 0.25)


@inline
def _sun_samples(world):
    """Directions to points of the sun's disc [S, 3]: over several, shadows get soft edges."""
    count = SUBSAMPLES * SUBSAMPLES
    found = np.empty((count, 3))
    d = world.sun_direction
    for s in range(count):
        angle, radius = 2.4 * s, SUN_RADIUS * math.sqrt((s + 0.5) / count)
        sample = _unit((d[0] + radius * math.cos(angle), d[1] + radius * math.sin(angle), d[2]))
        found[s, 0], found[s, 1], found[s, 2] = sample
    return found


@inline
def _radiance(scene, n, o, d, hit, s):
    """Linear RGB in [0, 1] that comes back along a ray; scene and hit as in `_supersample`."""
    (things, _, world, suns), (depth, seen) = scene, hit
    view = _unit(d)
    if seen == SKY:
        return _mix(world.horizon, world.zenith, min(max(1.8 * view[2], 0.0), 1.0))
    p = _along(o, d, depth)
    if seen == FLOOR:
        normal = (0.0, 0.0, 1.0)
        base = _floor_color(world, p, depth)
    else:
        m = things.rotation[n, seen]
        local = _rotate_back(m, _subtract(p, things.position[n, seen]))
        normal = _rotate(m, _normal(things.kind[seen], things.half[seen], local))
        base = _object_color(things, seen, local)
    to_sun = _vector(suns[s])
    direct = max(_dot(normal, to_sun), 0.0)
    if direct > 0.0:
        direct *= _lit(things, n, _along(p, normal, 2e-3), to_sun)
    sky = world.ambient * _openness(things, n, seen, p, normal)
    up = 0.5 + 0.5 * normal[2]
    haze, gloss = 0.0, 0.0
    if seen == FLOOR:
        if depth > 5.0:
            haze = 1.0 - math.exp(-0.055 * (depth - 5.0))
    elif direct > 0.0:
        gloss = 0.25 * max(_dot(normal, _unit(_subtract(to_sun, view))), 0.0) ** 48
    light = _mix(world.floor_high, world.horizon, up)
    color = (
        base[0] * (0.85 * direct * world.sun[0] + sky * light[0]) + gloss * world.sun[0],
        base[1] * (0.85 * direct * world.sun[1] + sky * light[1]) + gloss * world.sun[1],
        base[2] * (0.85 * direct * world.sun[2] + sky * light[2]) + gloss * world.sun[2],
    )
    color = _mix(color, world.horizon, haze)
    return min(color[0], 1.0), min(color[1], 1.0), min(color[2], 1.0)


@inline
def _encode(color, gamma):
    last = len(gamma) - 1
    return (
        gamma[int(color[0] * last + 0.5)],
        gamma[int(color[1] * last + 0.5)],
        gamma[int(color[2] * last + 0.5)],
    )


@inline
def _supersample(scene, n, i, j, width, height):
    """Mean radiance over a pixel of a scene: (Things, Views, Surroundings, `_sun_samples`)."""
    things, views, _, _ = scene
    o = _vector(views.eye[n])
    r, g, b = 0.0, 0.0, 0.0
    for s in range(SUBSAMPLES * SUBSAMPLES):
        y = i + (s // SUBSAMPLES + 0.5) / SUBSAMPLES
        x = j + (s % SUBSAMPLES + 0.5) / SUBSAMPLES
        d = _pixel_ray(views, n, x, y, width, height)
        c = _radiance(scene, n, o, d, _nearest(things, n, o, d), s)
        r, g, b = r + c[0], g + c[1], b + c[2]
    share = 1.0 / (SUBSAMPLES * SUBSAMPLES)
    return r * share, g * share, b * share


@inline
def _differs(image, i, j, k, m):
    for c in range(3):
        if abs(image[i, j, c] - image[k, m, c]) > CONTRAST:
            return True
    return False


@inline
def _mark_edges(image, edge):
    """Marks pixels that differ from a neighbour."""
    height, width = edge.shape
    edge[:] = False
    for i in range(height):
        for j in range(width):
            if j + 1 < width and _differs(image, i, j, i, j + 1):
                edge[i, j] = edge[i, j + 1] = True
            if i + 1 < height and _differs(image, i, j, i + 1, j):
                edge[i, j] = edge[i + 1, j] = True


@kernel
def paint_frames(
    things: tuple,
    views: tuple,
    world: tuple,
    depth: np.ndarray,
    seen: np.ndarray,
    frames: np.ndarray,
    gamma: np.ndarray,
) -> None:
    """Fills frames uint8 [T, H, W, 3]; gamma is a table of display values of linear [0, 1]."""
    count, height, width = depth.shape
    scene = things, views, world, _sun_samples(world)
    image = np.empty((height, width, 3))
    edge = np.empty((height, width), np.bool_)
    for n in range(count):
        o = _vector(views.eye[n])
        for i in range(height):
            for j in range(width):
                d = _pixel_ray(views, n, j + 0.5, i + 0.5, width, height)
                c = _radiance(scene, n, o, d, (float(depth[n, i, j]), int(seen[n, i, j])), 0)
                image[i, j, 0], image[i, j, 1], image[i, j, 2] = _encode(c, gamma)
        _mark_edges(image, edge)
        for i in range(height):
            for j in range(width):
                if edge[i, j]:
                    c = _supersample(scene, n, i, j, width, height)
                    image[i, j, 0], image[i, j, 1], image[i, j, 2] = _encode(c, gamma)
                for c in range(3):
                    frames[n, i, j, c] = np.uint8(255.0 * image[i, j, c] + 0.5)
