"""Splats as public programs read them: NVIDIA's usd-convert-gsplat against our arrays and our USD, and NVIDIA's rule
for splats (VG.035) on our USD. (plyfile and Newton are held against them in tests/usd_export/test_splat_readers.py.)

    python benchmarks/splat_readers.py [WORLD...] [--venvs DIR]

Makes a virtual environment for each program, since both need other packages than we do. Takes random splats of degree
0 to 3, and `splats.ply` and `splats.usdc` of each world given. Prints the largest differences; exits 1 where one is
above its bar, where the rule finds something, or where it finds nothing in splats that were broken on purpose.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pxr import Usd, UsdVol

from lyra_sim.core.records import GaussianSplats
from lyra_sim.io.meshes import read_splats_ply, write_splats_ply
from usd_export.layers import save
from usd_export.visual import SPLATS, splats_stage

CONVERTER = ("usd-convert-gsplat==0.1.15", "usd-core==26.11")
VALIDATOR = ("usd-validation-nvidia==1.22.0", "usd-core==26.11")
CONVERT = "import sys; from usd_convert_gsplat.cli import main; sys.exit(main())"
RULE = """
import sys
import usd_validation_nvidia as V
engine = V.ValidationEngine(init_rules=False)
engine.enable_rule(V.GaussianSplatSchemaChecker)
for path in sys.argv[1:]:
    print("FOUND", len(engine.validate(path).issues()))
"""
BAR = 1e-5
"""Relative to 1 (metres, shares, coefficients): float32 through a logarithm or a logit and back."""


def environment(folder: Path, name: str, packages: tuple[str, ...]) -> Path:
    """The Python of a virtual environment with these packages, made where it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, capture_output=True)
    return python


def random_splats(degree: int, count: int = 5000) -> GaussianSplats:
    """Splats of all sizes and opacities."""
    rng = np.random.default_rng(degree)
    turn = rng.normal(size=(count, 4))
    return GaussianSplats(
        means=rng.uniform(-20, 20, (count, 3)).astype(np.float32),
        quaternions=(turn / np.linalg.norm(turn, axis=1, keepdims=True)).astype(np.float32),
        scales_m=np.exp(rng.uniform(-8, 1, (count, 3))).astype(np.float32),
        opacity=rng.uniform(0.001, 0.999, count).astype(np.float32),
        sh=rng.normal(size=(count, (degree + 1) ** 2, 3)).astype(np.float32),
    )


def arrays_of(file: Path) -> dict[str, np.ndarray]:
    """The arrays of the one splat prim of a USD file."""
    stage = Usd.Stage.Open(str(file))
    (prim,) = [p for p in stage.Traverse() if p.GetTypeName() == "ParticleField3DGaussianSplat"]
    field = UsdVol.ParticleField3DGaussianSplat(prim)
    turn = [(q.GetReal(), *q.GetImaginary()) for q in field.GetOrientationsAttr().Get()]
    return {
        "means": np.array(field.GetPositionsAttr().Get(), np.float64),
        "quaternions": np.array(turn, np.float64),
        "scales": np.array(field.GetScalesAttr().Get(), np.float64),
        "opacity": np.array(field.GetOpacitiesAttr().Get(), np.float64),
        "sh": np.array(field.GetRadianceSphericalHarmonicsCoefficientsAttr().Get(), np.float64),
    }


def differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each array, relative to the larger of 1 and the value; infinite where the shapes differ."""
    found = {}
    for name, mine in ours.items():
        other = theirs[name]
        if mine.shape != other.shape:
            found[name] = np.inf
            continue
        if name == "quaternions":  # q and -q are one rotation
            other = other * np.where((mine * other).sum(1, keepdims=True) < 0, -1.0, 1.0)
        found[name] = float((np.abs(mine - other) / np.maximum(1, np.abs(mine))).max(initial=0))
    return found


def as_arrays(splats: GaussianSplats) -> dict[str, np.ndarray]:
    """The record's arrays under the names of `arrays_of`."""
    plain = {
        "means": splats.means,
        "quaternions": splats.quaternions,
        "scales": splats.scales_m,
        "opacity": splats.opacity,
        "sh": splats.sh.reshape(-1, 3),
    }
    return {name: value.astype(np.float64) for name, value in plain.items()}


def cases(worlds: list[Path], folder: Path) -> list[tuple[str, Path, Path, dict[str, np.ndarray]]]:
    """Name, PLY, USD and arrays of everything to read."""
    made = []
    for degree in range(4):
        splats = random_splats(degree)
        ply, usd = folder / f"degree_{degree}.ply", folder / f"degree_{degree}_ours.usdc"
        write_splats_ply(ply, splats)
        save(splats_stage(splats), usd)
        made.append((f"degree {degree}", ply, usd, as_arrays(splats)))
    for world in worlds:
        ply = world / "splats.ply"
        made.append((world.name, ply, world / "splats.usdc", as_arrays(read_splats_ply(ply))))
    return made


def broken_copy(usd: Path, folder: Path) -> Path:
    """The same splats without the metadata that the rule asks for."""
    stage = Usd.Stage.Open(str(usd))
    field = UsdVol.ParticleField3DGaussianSplat(stage.GetPrimAtPath(SPLATS))
    field.GetRadianceSphericalHarmonicsCoefficientsAttr().ClearMetadata("interpolation")
    stage.Export(str(folder / "broken.usdc"))
    return folder / "broken.usdc"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", type=Path, metavar="WORLD", help="folders with splats.ply and splats.usdc")
    parser.add_argument("--venvs", type=Path, help="keep the virtual environments here")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venvs = (options.venvs or folder).absolute()
        converter = environment(venvs, "converter", CONVERTER)
        validator = environment(venvs, "validator", VALIDATOR)
        every = cases(options.worlds, folder)
        columns = ("means", "quaternions", "scales", "opacity", "sh")
        print(f"{'largest difference to our arrays':58} splats " + " ".join(f"{c:>11}" for c in columns))
        for number, (title, ply, usd, ours) in enumerate(every):
            converted = folder / f"converted_{number}.usdc"
            command = [converter, "-c", CONVERT, "-i", ply, "-o", converted, "--up-axis", "Z"]
            subprocess.run(command, check=True, capture_output=True)
            for reader, file in (("usd-convert-gsplat of the PLY", converted), ("OpenUSD, our USD", usd)):
                apart = differences(ours, arrays_of(file))
                good &= max(apart.values()) <= BAR
                shown = " ".join(f"{apart[c]:11.1e}" for c in columns)
                print(f"{f'{title}: {reader}'[:58]:58} {len(ours['means']):6d} {shown}")
        files = [*(usd for _, _, usd, _ in every), broken_copy(every[0][2], folder)]
        told = subprocess.run([validator, "-c", RULE, *files], check=True, capture_output=True, text=True).stdout
        found = [int(line.split()[1]) for line in told.splitlines() if line.startswith("FOUND")]
        print(f"VG.035 on our USD: {found[:-1]} findings; on splats broken on purpose: {found[-1]}")
        good &= len(found) == len(files) and not any(found[:-1]) and found[-1] > 0
    print("agree" if good else "DIFFER")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
