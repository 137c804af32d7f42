#!/usr/bin/env bash
# A short life of a model through the real binary: pretrain → finetune → eval → predict, embed, fill,
# on a corpus made here. Fails when a step fails or when the classifier has learned nothing.
#
#   scripts/smoke.sh [target/release/polyseme]
set -euo pipefail

binary="$(realpath "${1:-target/release/polyseme}")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
exec 3>&1 # timings go here, whatever becomes of a step's own output

fail() {
  echo "smoke: $*" >&2
  exit 1
}

step() {
  local name="$1" began
  began=$(date +%s.%N)
  shift
  "$@" || fail "$name: exit code $?: $*"
  printf '  %-9s %6.1f s\n' "$name" "$(echo "$(date +%s.%N) $began" | awk '{print $1 - $2}')" >&3
}

# Two subjects with words of their own among words of both; the generator is seeded, so every run
# sees the same text. Arguments: rows, seed; output: text,label.
sentences() {
  awk -v rows="$1" -v seed="$2" 'BEGIN {
    srand(seed)
    n[0] = split("ship harbour sailor anchor tide storm island captain rope deck", a)
    n[1] = split("oven bread flour butter kitchen recipe sugar spoon dough cake", b)
    c = split("the a old new small great near every some this", det)
    d = split("was is stands seems looks stays", verb)
    e = split("good bad slow quick warm cold quiet loud ready late", adj)
    for (i = 0; i < rows; i++) {
      k = i % 2; s = ""
      for (j = 0; j < 3; j++) {
        noun = k ? b[1 + int(rand() * n[1])] : a[1 + int(rand() * n[0])]
        s = s det[1 + int(rand() * c)] " " noun " " verb[1 + int(rand() * d)] " " adj[1 + int(rand() * e)] (j < 2 ? " and " : "")
      }
      print s "," (k ? "baking" : "sailing")
    }
  }'
}

sentences 3000 1 | cut -d, -f1 | sed G >corpus.txt
(echo text,label && sentences 160 2) >train.csv
(echo text,label && sentences 60 3) >valid.csv
(echo text,label && sentences 60 4) >test.csv

echo "A life in short, with $("$binary" --version):"
step pretrain "$binary" pretrain corpus.txt --out model --recipe tiny --steps 100 --vocab-size 400 --seed 1 --threads 2 --quiet >/dev/null
step finetune "$binary" finetune model --task classify --train train.csv --valid valid.csv --out classifier --learning-rate 1e-3 --seed 1 --threads 2 --quiet >/dev/null
step eval "$binary" eval classifier --data test.csv --json >eval.txt
step predict "$binary" predict classifier test.csv >predicted.txt
step embed "$binary" embed model test.csv --out vectors.jsonl --quiet
step fill "$binary" fill model "the [MASK] is warm" --top 3 --json >fill.txt
tail -qn 1 eval.txt predicted.txt fill.txt

for folder in model classifier; do
  for file in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    [ -s "$folder/$file" ] || fail "$folder/$file is missing"
  done
done
right=$(grep -o '"label" *: *"[a-z]*"' predicted.txt | cut -d'"' -f4 |
  paste -d, - <(tail -n +2 test.csv | cut -d, -f2) | awk -F, '$1 == $2' | wc -l)
[ "$right" -ge 54 ] || fail "only $right of 60 predictions are right; these sentences are easy"
[ "$(grep -c '"embedding"' vectors.jsonl)" -eq 60 ] || fail "vectors.jsonl has not 60 rows"
grep -q '"candidates"' fill.txt || fail "fill --json printed no candidates"
echo "  $right of 60 predictions right, 60 vectors, masks filled"
