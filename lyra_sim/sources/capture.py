"""Reading a source into a capture, whatever its kind."""

from lyra_sim.config.capture import CaptureConfig
from lyra_sim.core.records import Capture
from lyra_sim.sources.discover import Source
from lyra_sim.sources.photo import read_photo
from lyra_sim.sources.walk import read_walk


def read_capture(source: Source, config: CaptureConfig, *, config_hash: str = "", seed: int = 0) -> Capture:
    """Decode a source; the result depends on `source.key`, `config` and nothing else.

    Raises:
        InputError: the source is not what it claims to be; says where, what was expected and what to do.
    """
    read = read_photo if source.kind == "photo" else read_walk
    return read(source, config, config_hash=config_hash, seed=seed)
