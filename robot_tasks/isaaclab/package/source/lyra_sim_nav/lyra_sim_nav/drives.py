"""How wheeled robots are driven: joints, wheels, base body of their Isaac Sim assets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Drive:
    """A differential drive."""

    left: str
    right: str
    """Wheel joints."""
    wheel_radius_m: float
    wheel_distance_m: float
    base: str
    """Root body; carries the scanner and feels contacts."""
    base_height_m: float
    """Of its origin above the floor when the robot stands. The smoke test measures it."""


DRIVES = {
    # NVIDIA's values for its differential controller; the wheels' centres, not the floor, hold the Jetbot's origin
    "nova_carter": Drive("joint_wheel_left", "joint_wheel_right", 0.14, 0.413, "chassis_link", 0.0),
    "jetbot": Drive("left_wheel_joint", "right_wheel_joint", 0.03, 0.1125, "chassis", 0.03),
}
"""By name of the robot's profile."""
