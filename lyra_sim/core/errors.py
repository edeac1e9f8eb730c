"""What can go wrong through a user, a file or a machine; each error says where, what was expected, what was found
and what to do. Our own bugs are plain assertions and do not pass through here."""


class LyraError(Exception):
    """An error a user can act on.

    Args:
        where: file, setting or stage in which it happened.
        expected: what would have been right.
        got: what was found instead.
        todo: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, where: object, *, expected: str, got: str, todo: str) -> None:
        self.where, self.expected, self.got, self.todo = str(where), expected, got, todo
        super().__init__(f"{self.where}: expected {expected}, got {got}. {todo}")

    def __reduce__(self):  # keeps the four parts when an error crosses a process boundary
        return _rebuild, (type(self), self.where, self.expected, self.got, self.todo)


def _rebuild(cls: type[LyraError], where: str, expected: str, got: str, todo: str) -> LyraError:
    return cls(where, expected=expected, got=got, todo=todo)


class InputError(LyraError):
    """An input file is not what it claims to be; its world is quarantined, the others go on."""

    exit_code = 3


class SceneError(LyraError):
    """No honest world can be made from this input (no floor seen, nothing reconstructed); quarantined."""

    exit_code = 3


class ConfigError(LyraError):
    """A setting or a command line is wrong; nothing was started."""

    exit_code = 2


class ResourceError(LyraError):
    """Something the machine needs is missing or full: a package, weights, disk, memory."""

    exit_code = 5


class LockedError(LyraError):
    """Another run holds the output folder."""

    exit_code = 6
