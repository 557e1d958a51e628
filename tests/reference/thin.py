"""Copy cases of the full reference data here, leaving out the float32 outputs that have a float64 twin.

    python tests/reference/thin.py FULL_FOLDER 01_scan_basic 02_mamba_uni_d32 ...

The tests compare float32 results to the float64 ones (with float32's tolerance), so a tensor `x.f32` beside `x.f64`
is never read. Inputs, weights and everything else stay bit for bit, except what `--without` names, patterns allowed:

    python tests/reference/thin.py FULL_FOLDER 08_vivit1_d2_e32_f4_t2 --without 'grad.layers.0.*'
"""

import argparse
import json
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent


def thin(source: Path, name: str, without: Collection[str] = ()) -> int:
    """Write the thinned case `name` beside this file, without the tensors named, and return its size in bytes."""
    description = json.loads((source / f"{name}.json").read_text("utf-8"))
    data = source / f"{name}.safetensors"
    if data.exists():
        tensors = load_file(data)
        dropped = {key for key in tensors if _named(key, without) or _has_double_twin(key, tensors)}
        kept = {key: value for key, value in sorted(tensors.items()) if key not in dropped}
        description["tensors"] = {key: entry for key, entry in description["tensors"].items() if key in kept}
        save_file(kept, HERE / data.name)
    target = HERE / f"{name}.json"
    target.write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return sum(path.stat().st_size for path in HERE.glob(f"{name}.*"))


def _named(key: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _has_double_twin(key: str, tensors: dict) -> bool:
    return key.endswith(".f32") and key.removesuffix(".f32") + ".f64" in tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with the full reference data")
    parser.add_argument("names", nargs="+", help="cases to copy, without the ending")
    parser.add_argument("--without", nargs="*", default=[], help="tensors to leave out besides, as names or patterns")
    options = parser.parse_args()
    for name in options.names:
        print(f"{name}: {thin(options.source, name, options.without):,} bytes")


if __name__ == "__main__":
    main()
