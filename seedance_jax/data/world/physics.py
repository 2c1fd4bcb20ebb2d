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

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.scene import Body, Scene

SLOTS = 3
STEP = 0.002  # seconds, at most
STIFFNESS = 20000.0  # 1/s^2 of every contact: an impact at 4 m/s sinks in by less than 3 cm


@dataclasses.dataclass
class Motion:
    """Paths of K objects at N = num_frames + 1 times (one more than shown, for the last flow)."""

    position: np.ndarray  # [N, K, 3] m
    rotation: np.ndarray  # [N, K, 3, 3] object -> world
    velocity: np.ndarray  # [N, K, 6] linear m/s and angular rad/s, world axes
    contacts: np.ndarray  # [N, 4, 4] bool, (floor, object 1..3) touched since the previous frame
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


def simulate(scene: Scene, num_frames: int, fps: float) -> Motion:
    """Runs the scene for `num_frames` frame intervals."""
    substeps = math.ceil(1 / fps / STEP)
    model = mujoco.MjModel.from_xml_string(scene_xml(scene, 1 / fps / substeps))
    data = mujoco.MjData(model)
    _set_velocities(scene, model, data)
    mujoco.mj_forward(model, data)
    recorder = _Recorder(len(scene.bodies), num_frames + 1)
    recorder.touch(data, 0)
    recorder.frame(data, 0)
    for frame in range(1, num_frames + 1):
        for _ in range(substeps):
            mujoco.mj_step(model, data)
            recorder.touch(data, frame)
        recorder.frame(data, frame)
    return recorder.motion()


def scene_xml(scene: Scene, step: float) -> str:
    """MuJoCo model of the scene: geom 0 is the floor, geom k is object k."""
    bodies = "".join(_body_xml(body) for body in scene.bodies)
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
    half = [float(h) for h in body.half]
    size = {"sphere": half[:1], "box": half, "cylinder": half[1:]}[
        vocabulary.PRIMITIVES[body.shape]
    ]
    friction = (body.friction, 0.3 * body.friction * half[0] * 0.1, max(body.rolling, 1e-5))
    dimensions = 6 if body.rolling else 4
    return f"""
    <body pos="{_numbers(body.position)}" quat="{_numbers(body.quaternion)}">{joint}
      <geom type="{vocabulary.PRIMITIVES[body.shape]}" size="{_numbers(size)}"
        density="{body.density}" friction="{_numbers(friction)}" condim="{dimensions}"
        solref="{-STIFFNESS} {-contact_damping(body.restitution)}"/>
    </body>"""


def _numbers(values) -> str:
    return " ".join(repr(float(v)) for v in values)


def contact_damping(restitution: float) -> float:
    """Damping, 1/s, of a half-oscillation that gives back `restitution` of the speed."""
    log = -math.log(restitution)
    return 2 * math.sqrt(STIFFNESS) * log / math.hypot(math.pi, log)


def _set_velocities(scene: Scene, model, data):
    mujoco.mj_kinematics(model, data)
    for k, body in enumerate(scene.bodies):
        if body.static:
            continue
        start = model.jnt_dofadr[model.body_jntadr[k + 1]]
        to_world = data.xmat[k + 1].reshape(3, 3)
        data.qvel[start : start + 3] = body.velocity
        data.qvel[start + 3 : start + 6] = to_world.T @ np.array(body.spin)  # MuJoCo: object axes


class _Recorder:
    """Collects a Motion while the simulation runs."""

    def __init__(self, count, frames):
        self.count = count
        self.position = np.zeros((frames, count, 3))
        self.rotation = np.zeros((frames, count, 3, 3))
        self.velocity = np.zeros((frames, count, 6))
        self.contacts = np.zeros((frames, SLOTS + 1, SLOTS + 1), bool)
        self.on_floor, self.rise = [], []

    def touch(self, data: mujoco.MjData, frame: int) -> None:
        """Notes the contacts of this step for the interval that ends at `frame`."""
        floor = np.zeros(self.count, bool)
        for first, second in {*map(tuple, data.contact.geom.tolist())}:
            self.contacts[frame, first, second] = self.contacts[frame, second, first] = True
            if not first or not second:
                floor[first + second - 1] = True
        self.on_floor.append(floor)
        self.rise.append(data.cvel[1:, 5].copy())

    def frame(self, data: mujoco.MjData, frame: int) -> None:
        self.position[frame] = data.xpos[1:]
        self.rotation[frame] = data.xmat[1:].reshape(-1, 3, 3)
        for k in range(self.count):
            twist = np.zeros(6)
            mujoco.mj_objectVelocity(data.model, data, mujoco.mjtObj.mjOBJ_BODY, k + 1, twist, 0)
            self.velocity[frame, k] = np.concatenate([twist[3:], twist[:3]])

    def motion(self) -> Motion:
        return Motion(
            self.position,
            self.rotation,
            self.velocity,
            self.contacts,
            np.array(self.on_floor),
            np.array(self.rise),
        )
