"""Simulation with MuJoCo: a scene in, what every object does in out."""

import dataclasses
import math
import os

import numpy as np

os.environ.setdefault("MUJOCO_GL", "disable")  # no window system is needed, nor asked for
try:
    import mujoco
except ImportError as error:
    raise ImportError(
        'the synthetic world simulates with mujoco: pip install "seedance-jax[world]"'
    ) from error

from seedance_jax.data import schema
from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.scene import Act, Body, Scene

FAR_BELOW = -20.0  # metres: under the floor, where neither an object nor its shadow is seen
STEP = 0.002  # seconds, at most
STIFFNESS = 20000.0  # 1/s^2 of every contact: an impact at 4 m/s sinks in by less than 3 cm


@dataclasses.dataclass
class Motion:
    """Paths of K objects at N = num_frames + 1 times (one more than shown, for the last flow).

    What is not there (what has broken, fragments before) lies FAR_BELOW.
    """

    position: np.ndarray  # [N, K, 3] m
    rotation: np.ndarray  # [N, K, 3, 3] object -> world
    velocity: np.ndarray  # [N, K, 6] linear m/s and angular rad/s, world axes
    contacts: np.ndarray  # [N, S, S] bool, (floor, object 1..) touched since the previous frame
    on_floor: np.ndarray  # [steps, K] bool, at every simulation step
    rise: np.ndarray  # [steps, K] vertical speed, m/s

    def part(self, start: int, stop: int) -> "Motion":
        """From frame `start` to, and without, frame `stop`, which becomes the one more."""
        steps = (len(self.on_floor) - 1) // (len(self.position) - 1)
        frames, moments = slice(start, stop + 1), slice(start * steps, stop * steps + 1)
        return Motion(
            *(value[frames] for value in (self.position, self.rotation, self.velocity)),
            self.contacts[frames],
            self.on_floor[moments],
            self.rise[moments],
        )

    @property
    def exists(self) -> np.ndarray:
        """Which objects are there, bool [N, K]."""
        return self.position[..., 2] > FAR_BELOW / 2


def simulate(scene: Scene, num_frames: int, fps: float) -> Motion:
    """Runs the scene for `num_frames` frame intervals."""
    substeps = math.ceil(1 / fps / STEP)
    step = 1 / fps / substeps
    model, data = _start(scene, scene.bodies, step)
    recorder = _Recorder(scene, num_frames + 1)
    recorder.touch(data, 0)
    recorder.frame(data, 0)
    acts = sorted(scene.acts, key=lambda act: act.start)
    for frame in range(1, num_frames + 1):
        for substep in range(substeps):
            now = (frame - 1) / fps + substep * step
            while acts and acts[0].start <= now:
                perform(acts.pop(0), scene, model, data)
            mujoco.mj_step(model, data)
            if recorder.touch(data, frame) and scene.fragments:
                model, data = _break(scene, model, data, step)
                recorder.first = len(scene.bodies)
        recorder.frame(data, frame)
    return recorder.motion(fps)


def _start(scene, bodies, step):
    model = mujoco.MjModel.from_xml_string(scene_xml(scene, step, bodies))
    data = mujoco.MjData(model)
    _set_velocities(bodies, model, data)
    mujoco.mj_forward(model, data)
    return model, data


def _break(scene, model, data, step):
    """The simulation of the fragments, from where and how fast the object is."""
    position, rotation = data.xpos[1].copy(), data.xmat[1].reshape(3, 3).copy()
    twist = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, 1, twist, 0)
    speed, quaternion = float(np.linalg.norm(twist[3:])), tuple(data.xquat[1])
    flying = []
    for body in scene.fragments:
        arm = rotation @ body.position
        thrown = twist[3:] * (1, 1, 0) + np.cross(twist[:3], arm) + speed * np.array(body.velocity)
        flying.append(
            dataclasses.replace(
                body,
                position=position + arm,
                quaternion=quaternion,
                velocity=tuple(thrown),
                spin=tuple(twist[:3] + np.array(body.spin)),
            )
        )
    return _start(scene, flying, step)


def perform(act: Act, scene: Scene, model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Sets an object going, as an act of a long scene wants it."""
    k, body = act.body, scene.bodies[act.body]
    start = model.jnt_dofadr[model.body_jntadr[k + 1]]
    linear, angular = act.velocities(body, data.xpos[k + 1], scene.gravity)
    data.qvel[start : start + 3] = linear
    data.qvel[start + 3 : start + 6] = data.xmat[k + 1].reshape(3, 3).T @ angular


def scene_xml(scene: Scene, step: float, bodies: list | None = None) -> str:
    """MuJoCo model of the scene: geom 0 is the floor, geom k is object k of `bodies`."""
    bodies = "".join(_body_xml(body) for body in bodies or scene.bodies)
    return f"""
<mujoco>
  <option timestep="{step!r}" gravity="0 0 {-scene.gravity!r}" integrator="implicitfast"/>
  <worldbody>
    <geom type="plane" size="0 0 1" friction="0.001 0.0001 0.00001" solref="{-STIFFNESS} -1"/>
    {bodies}
  </worldbody>
</mujoco>"""


def _body_xml(body: Body) -> str:
    joint = "" if body.static else "<freejoint/>"
    ghost = ' contype="0" conaffinity="0"' if body.path else ""
    half = [float(h) for h in body.half]
    size = {"sphere": half[:1], "box": half, "cylinder": half[1:]}[
        vocabulary.PRIMITIVES[body.shape]
    ]
    friction = (body.friction, 0.3 * body.friction * half[0] * 0.1, max(body.rolling, 1e-5))
    dimensions = 6 if body.rolling else 4
    return f"""
    <body pos="{_numbers(body.position)}" quat="{_numbers(body.quaternion)}">{joint}
      <geom type="{vocabulary.PRIMITIVES[body.shape]}" size="{_numbers(size)}"
        density="{body.density}" friction="{_numbers(friction)}" condim="{dimensions}"{ghost}
        solref="{-STIFFNESS} {-contact_damping(body.nominal or body.restitution)}"/>
    </body>"""


def _numbers(values) -> str:
    return " ".join(repr(float(v)) for v in values)


# What balls give back, measured at impacts of 1 to 5 m/s, of the restitution the solver is told.
TOLD = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GIVEN_BACK = (0.235, 0.31, 0.385, 0.462, 0.545, 0.627, 0.718, 0.811, 0.904)


def nominal(restitution: float) -> float:
    """The restitution to tell the solver for one that is wanted."""
    return float(np.interp(restitution, GIVEN_BACK, TOLD))


def contact_damping(restitution: float) -> float:
    """Damping, 1/s, of a half-oscillation that gives back `restitution` of the speed."""
    log = -math.log(restitution)
    return 2 * math.sqrt(STIFFNESS) * log / math.hypot(math.pi, log)


def _set_velocities(bodies, model, data):
    mujoco.mj_kinematics(model, data)
    for k, body in enumerate(bodies):
        if body.static:
            continue
        start = model.jnt_dofadr[model.body_jntadr[k + 1]]
        to_world = data.xmat[k + 1].reshape(3, 3)
        data.qvel[start : start + 3] = body.velocity
        data.qvel[start + 3 : start + 6] = to_world.T @ np.array(body.spin)  # MuJoCo: object axes


class _Recorder:
    """Collects a Motion while the simulation runs; `first` is the slot of its first object."""

    def __init__(self, scene, frames):
        count = len(scene.parts)
        self.bodies, self.count, self.first = scene.bodies, count, 0
        self.position = np.full((frames, count, 3), (0.0, 0.0, FAR_BELOW))
        self.rotation = np.tile(np.eye(3), (frames, count, 1, 1))
        self.velocity = np.zeros((frames, count, 6))
        slots = 1 + max(schema.OBJECT_SLOTS, count)
        self.contacts = np.zeros((frames, slots, slots), bool)
        self.on_floor, self.rise = [], []

    def touch(self, data: mujoco.MjData, frame: int) -> bool:
        """Notes the contacts of this step for the interval that ends at `frame`.

        Returns whether object 1 touches the floor.
        """
        floor, rise = np.zeros(self.count, bool), np.zeros(self.count)
        for pair in {*map(tuple, data.contact.geom.tolist())}:
            first, second = (geom + self.first if geom else 0 for geom in pair)
            self.contacts[frame, first, second] = self.contacts[frame, second, first] = True
            if not first or not second:
                floor[first + second - 1] = True
        rise[self.first : self.first + data.model.nbody - 1] = data.cvel[1:, 5]
        self.on_floor.append(floor)
        self.rise.append(rise)
        return bool(floor[0])

    def frame(self, data: mujoco.MjData, frame: int) -> None:
        count = data.model.nbody - 1
        slots = slice(self.first, self.first + count)
        self.position[frame, slots] = data.xpos[1:]
        self.rotation[frame, slots] = data.xmat[1:].reshape(-1, 3, 3)
        for k in range(count):
            twist = np.zeros(6)
            mujoco.mj_objectVelocity(data.model, data, mujoco.mjtObj.mjOBJ_BODY, k + 1, twist, 0)
            self.velocity[frame, self.first + k] = np.concatenate([twist[3:], twist[:3]])

    def motion(self, fps: float) -> Motion:
        times = np.arange(len(self.position)) / fps
        for k, body in enumerate(self.bodies):
            if body.path:  # moved, not simulated
                moments, places = zip(*body.path, strict=True)
                for axis, values in enumerate(np.transpose(places)):
                    self.position[:, k, axis] = np.interp(times, moments, values)
                self.velocity[:, k, :3] = np.gradient(self.position[:, k], 1 / fps, axis=0)
        return Motion(
            self.position,
            self.rotation,
            self.velocity,
            self.contacts,
            np.array(self.on_floor),
            np.array(self.rise),
        )
