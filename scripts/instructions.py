"""Instructions that the main kernels execute, counted by valgrind, beside the counts on record.

    cargo build --release --workspace --examples
    python scripts/instructions.py                # fails where a kernel takes 5 % more than on record
    python scripts/instructions.py --record       # writes the counts, after a change that is meant

Counts hardly depend on the machine or on what else it does, so that a slow-down is seen where timing
shows nothing. They depend on the compiler: with another one than on record they are shown and judge
nothing. Valgrind knows no AVX-512, so that it is the AVX2 path that is counted.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benches" / "instructions.json"
KERNELS = ("product", "layer", "short-sequences", "masked-loss", "adamw")
ALLOWED = 1.05


def count(binary, kernel):
    """Instructions of a run."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", str(binary), kernel]
        done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return int(found[1])


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/examples/instructions")
    p.add_argument("--record", action="store_true", help="write the counts instead of judging them")
    given = p.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed: `apt-get install valgrind`")
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    start = count(given.binary, "nothing")
    counts = {kernel: count(given.binary, kernel) - start for kernel in KERNELS}
    if given.record:
        RECORD.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=1) + "\n", encoding="utf-8")
        return
    kept = json.loads(RECORD.read_text(encoding="utf-8"))
    worse = []
    for kernel, found in counts.items():
        before = kept["instructions"][kernel]
        print(f"{kernel:16} {found:>12,} instructions, {100 * (found / before - 1):+5.1f} % of what is on record")
        if found > ALLOWED * before:
            worse.append(kernel)
    if kept["compiler"] != compiler:
        print(f"on record with {kept['compiler']}, this is {compiler}: nothing is judged")
    elif worse:
        sys.exit(f"more instructions than on record: {', '.join(worse)}; if that is meant, `python scripts/instructions.py --record`")


if __name__ == "__main__":
    main()
