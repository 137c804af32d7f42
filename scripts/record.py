"""What every record of a measurement holds: date, commit, machine, versions, commands, numbers (standard library only)."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def output_of(*command):
    """First output of a command, or nothing where it cannot run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def processor():
    """The processor's name and its vector extensions that matter here."""
    name, flags = platform.processor(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = value
    except OSError:
        pass
    known = [f for f in ("avx2", "fma", "avx512f", "avx512_vnni", "amx_tile") if f in flags.split()]
    return " ".join([name, *(["with", ", ".join(known)] if known else [])])


def memory_bytes():
    """Physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def versions(*packages, python=None):
    """Versions of Python packages, and of Python; of another interpreter if one is named."""
    if python and Path(python).absolute() != Path(sys.executable).absolute():
        ask = "import json, sys; sys.path.insert(0, sys.argv[1]); import record; print(json.dumps(record.versions(*sys.argv[2:])))"
        return json.loads(output_of(str(python), "-c", ask, str(ROOT / "scripts"), *packages) or "{}")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit():
    """The newest commit that changed the program: those after it hold other records, words and measurements."""
    sources = ("--", "crates", "Cargo.toml", "Cargo.lock")
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no", *sources)
    return output_of("git", "log", "-1", "--format=%h", "--abbrev=12", *sources) + (" with changes" if changed else "")


def keep(path, found, threads):
    """Writes a part of a measurement with what made it, whole or not at all; gives what was written."""
    found = found | {"commit": commit(), "threads": threads, "processor": processor()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.rename(path)
    return found


def facts(binary, *packages, python=None):
    """Everything about a measurement but its numbers; the packages are those of `python`, if it is named."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", *(relative(a) for a in sys.argv)]),
        "commit": commit(),
        "polyseme": output_of(str(binary), "--version"),
        "rustc": output_of("rustc", "--version"),
        "versions": versions(*packages, python=python),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(memory_bytes() / 2**30, 1),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def relative(path):
    """A path below the repository without what lies above it."""
    text = str(path)
    return text[len(str(ROOT)) + 1 :] if text.startswith(str(ROOT) + "/") else text


def run_folder(what, name=None):
    """`benches/runs/<date>-<what>/`, made, or the folder named instead."""
    folder = Path(name) if name else ROOT / "benches" / "runs" / f"{datetime.date.today().isoformat()}-{what}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def header(record):
    """The facts as the first lines of a `record.md`."""
    machine = record["machine"]
    named = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    return [
        f"- date {record['date']}, commit {record['commit']}, {record['polyseme']}, {record['rustc']}",
        f"- {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}",
        f"- {named}",
        f"- `{record['command']}`",
    ]


def table(columns, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def write(folder, record, lines):
    """`record.json` and `record.md`."""
    (folder / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "record.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {relative(folder)}/record.md", file=sys.stderr)


def spread(values):
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


class Failed(Exception):
    """A command that ended badly, with what it said."""


def run(arguments, **more):
    """Runs a command; gives its stdout and the seconds it took. Its stderr is shown when it fails."""
    began = time.monotonic()
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, encoding="utf-8", **more)
    if done.returncode != 0:
        raise Failed(f"{shlex.join(str(a) for a in arguments)}\nexit code {done.returncode}\n{done.stderr}")
    return done.stdout, time.monotonic() - began
