"""The video generator of Lyra 2.0: released weights, or the same network at any other size.

Owns: the transformer (`transformer.py`, `tokens.py`), what it is conditioned on, its sampler, loading of the released
files. Method and names follow the public release (nv-tlabs/lyra); the code is written anew.
Does not own: the packing grammar, memory and warp (`memory`), where cameras go (`trajectory`), the loop (`explore`).
Start reading at `transformer.LyraTransformer3DModel`.
"""
