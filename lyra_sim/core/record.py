"""The decorator behind every record: a frozen dataclass whose array shapes are checked when it is built and whose
arrays cannot be written afterwards."""

import dataclasses
from typing import TypeVar, dataclass_transform

import numpy as np
from beartype import beartype
from jaxtyping import jaxtyped

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def record(cls: type[T]) -> type[T]:
    """Make `cls` a frozen keyword-only dataclass with checked shapes and read-only arrays.

    Shape names are shared by all fields of one record: `Float[np.ndarray, "T H W"]` and `Bool[np.ndarray, "T H W"]`
    must agree. A record takes ownership: an array that owns its memory is made read-only in place, a view is copied
    first. A method `check(self)`, where the class has one, is called last and may raise.
    """
    check = cls.__dict__.get("check")

    def __post_init__(self) -> None:  # noqa: N807
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, field.name, _frozen(value))
        if check is not None:
            check(self)

    cls.__post_init__ = __post_init__  # pyright: ignore[reportAttributeAccessIssue]
    made = dataclasses.dataclass(frozen=True, eq=False, kw_only=True)(cls)
    return jaxtyped(typechecker=beartype)(made)


def _frozen(array: np.ndarray) -> np.ndarray:
    if array.base is not None and array.flags.writeable:
        array = array.copy()
    array.setflags(write=False)
    return array
