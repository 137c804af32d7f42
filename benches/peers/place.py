"""Where a race takes place: its settings and folders, and how a contender is run as a process of its own."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import record


class Refused(Exception):
    """A contender that does not run, or a file that is not there: why, in one line."""


def process(command, environment=None, until_line=None):
    """Runs a contender to its end; gives stdout, wall seconds and peak memory.

    With `until_line` that text is its standard input, and the seconds are those to its first line.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        piped = subprocess.PIPE if until_line is not None else None
        child = subprocess.Popen([str(c) for c in command], stdin=piped or subprocess.DEVNULL, stdout=piped or out, stderr=err,
                                 env=environment, text=True)
        said, seconds = "", None
        if piped:
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(until_line)
            said, seconds = child.stdout.readline(), time.monotonic() - began
            child.stdout.read()
            child.stdout.close()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = seconds or time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            err.seek(0)
            raise Refused(f"`{short(command)}` ended with {child.returncode}: {reason(err.read())}")
        out.seek(0)
        return said or out.read(), seconds, usage.ru_maxrss * 1024


def reason(said):
    """The line of an error output that says what is wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "it said nothing")


def short(command):
    """A command as it may be repeated, with paths below the repository, those inside of settings too."""
    return shlex.join(str(record.relative(word)) for word in command).replace(f"{ROOT}/", "")


def flags(settings):
    """Settings as words of a command."""
    return [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]


class Place:
    """Settings, folders, and the two kinds of contenders: our binary and the peers' scripts."""

    def __init__(self, given):
        self.given = given
        self.binary = given.binary.resolve()
        self.work = given.work.resolve()
        self.data = given.data.resolve()
        self.python = given.python
        self.threads = given.threads
        # Settings of this workplace that slow numpy down on some processors are not for the peers.
        unwanted = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        self.environment = {k: v for k, v in os.environ.items() if k not in unwanted} | {
            "OMP_NUM_THREADS": str(given.threads), "TOKENIZERS_PARALLELISM": "true", "TRANSFORMERS_VERBOSITY": "error",
            "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore",
        }
        self.work.mkdir(parents=True, exist_ok=True)

    def needs(self, name, how):
        """A file or folder of the data, which someone must have fetched."""
        path = self.data / name
        if not path.exists():
            raise Refused(f"{record.relative(path)} is missing: {how}")
        return path

    def minilm(self):
        return self.needs("all-MiniLM-L6-v2", "run `scripts/fetch-data.sh minilm`")

    def news(self):
        return self.needs("20newsgroups-train.csv", "run `scripts/fetch-data.sh 20news`")

    def stsb(self):
        """Pairs of sentences with a score: no header, sentence, sentence, score from 0 to 5."""
        path = self.given.stsb or self.data / "stsb-en-train.csv"
        if not path.exists():
            raise Refused(f"{record.relative(path)} is missing: name the file of sentence pairs with --stsb")
        return path.resolve()

    def ours(self, *words, until_line=None):
        """Runs our binary; gives stdout and what a record keeps of the process."""
        command = [self.binary, *words, "--threads", str(self.threads)]
        said, wall, peak = process(command, until_line=until_line)
        return said, {"wall_seconds": wall, "peak_bytes": peak, "command": short(command)}

    def built_candle(self):
        """The program of the peer that is a Rust library, built with its own workspace."""
        place, target = HERE / "candle", self.work.parent / "candle"
        command = ["cargo", "build", "--release", "--quiet", "--manifest-path", place / "Cargo.toml", "--target-dir", target]
        process(command, self.environment)
        return str(target / "release" / "candle-peer")

    def program(self, *command):
        """Runs a peer that is a program; gives its result with what a record keeps of the process."""
        said, wall, peak = process(command, self.environment | {"RAYON_NUM_THREADS": str(self.threads)})
        return {**json.loads(said), "wall_seconds": wall, "peak_bytes": peak, "command": short(command)}

    def peer(self, script, kind, **settings):
        """Runs one kind of a peers' script; gives its result with what a record keeps of the process."""
        words = json.dumps({"threads": self.threads, **settings}, default=str)
        command = [self.python, HERE / script, kind, words]
        said, wall, peak = process(command, self.environment)
        return {**json.loads(said.splitlines()[-1]), "wall_seconds": wall, "peak_bytes": peak, "command": short(command)}

    def counts(self, **usual):
        """Amounts of a row, unless the command line names others."""
        named = {key: getattr(self.given, key, None) for key in usual}
        return SimpleNamespace(**{key: usual[key] if named[key] is None else named[key] for key in usual})
