"""The base of every configuration model: frozen, unknown keys refused, one sentence per field."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen section of the configuration. Lengths in metres and angles in degrees, as the field names say."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
