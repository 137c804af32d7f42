"""What the runs of the table came to, as the record keeps it and as it is read."""

import json
import math
import statistics

import record
import sets

STRICT = ("polyseme", "transformers")  # the columns that are compared

RECIPE = """\
AdamW (0.9, 0.999, 1e-8), weight decay 0.01 but not of norms and biases, a rate that rises over a tenth of the steps
and falls along a line, gradients cut to a norm of 1, batches sorted by length within four, a new head with random
values. Rows with a label that training lacks are left out of the other parts. What differs still: polyseme learns the
scores of `stsb` as deviations from their mean, `transformers` as they stand; in `xquad` the softmax of `transformers`
sees the padding; random numbers. As shipped: polyseme's own rate, longest input, metric and patience, and for classes
a head that begins as a linear probe."""


def rows(work, results, recipes, arms, left_out):
    """All that is done, by row and column, and why a row is left out."""
    found = {}
    for name, recipe in recipes.items():
        parts = {}
        for arm in arms:
            paths = sorted(results.glob(f"{name}-{arm}-*.json"), key=lambda p: int(p.stem.rsplit("-", 1)[1]))
            if paths:
                parts[arm] = [json.loads(p.read_text(encoding="utf-8")) for p in paths]
        if parts:
            sizes = json.loads((work / "sets" / name / "set.json").read_text(encoding="utf-8"))
            found[name] = {"about": recipe.about, "sizes": sizes, "compared": compared(recipe, parts), "parts": parts}
        if name in left_out:
            found.setdefault(name, {"about": recipe.about})["left_out"] = left_out[name]
    return found


def compared(recipe, parts):
    """Polyseme's mean less that of `transformers`, for each measure; worse where it is by more than two standard errors."""
    found = {}
    for measure in recipe.measure:
        sides = [[p["test"][measure] for p in parts.get(arm, [])] for arm in STRICT]
        if all(sides):
            difference = statistics.mean(sides[0]) - statistics.mean(sides[1])
            several = all(len(side) > 1 for side in sides)
            error = 2 * math.sqrt(sum(statistics.variance(side) / len(side) for side in sides)) if several else None
            found[measure] = {"difference": difference, "two_standard_errors": error, "worse": several and difference < -error}
    return found


# ---- as it is read ----------------------------------------------------------------------------


def lines(found, recipes, arms):
    """The lines of `record.md`."""
    done = {name: row for name, row in found["rows"].items() if "parts" in row}
    text = ["# Fine-tuning beside `transformers`, from all-MiniLM-L6-v2", "", *record.header(found), ""]
    if found["trial"]:
        text += ["**A trial: one epoch of a hundred rows. The numbers mean nothing.**", ""]
    text += [f"Test measures in percent, median of the seeds (lowest – highest), {rounding(done)},",
             f"{threads(done)}, batches of {found['batch_size']}. The difference is of means, polyseme's less `transformers`', ± two standard",
             "errors; bold where polyseme is worse by more than that.", ""]
    results = [cells for name, row in done.items() for cells in result(name, row, recipes[name], arms)]
    text += [*record.table(["row", "measure", *arms.values(), "difference"], results), ""]
    text += [*sources(done, arms), ""]
    for name, row in found["rows"].items():
        if "left_out" in row:
            text += [f"- `{name}` is {'not complete' if 'parts' in row else 'left out'}: {row['left_out']}"]
    text += ["", "## Recipes and rows", "", *recipe_lines(done, recipes), "", RECIPE, ""]
    text += ["## Every run", "", *run_lines(done, recipes, arms), ""]
    text += ["## The commands of each row", "", "Of the first seed; the others differ in `--seed` only. `run.py` writes the sets.", ""]
    return [*text, "```sh", *command_lines(done), "```"]


def threads(done):
    """Of how many threads the runs were."""
    every = {p["threads"] for row in done.values() for parts in row["parts"].values() for p in parts}
    return "each run on " + " or ".join(map(str, sorted(every))) + " threads"


def rounding(done):
    """What the runs multiplied in while they learned."""
    rounded = [name for name, row in done.items() if any("--bf16" in p["command"] for parts in row["parts"].values() for p in parts)]
    return "f32" + (f" (`{'`, `'.join(rounded)}` of polyseme: products in bfloat16 while it learns)" if rounded else "")


def sources(done, arms):
    """Where the columns were computed, where it was not with the versions above on the processor."""
    for arm, title in arms.items():
        parts = [p for row in done.values() for p in row["parts"].get(arm, [])]
        elsewhere = sorted({f"{p.get('with', p['device'])}" for p in parts if p.get("device", "cpu") != "cpu"})
        if elsewhere:
            count = sum(p.get("device", "cpu") != "cpu" for p in parts)
            yield f"{count} of the {len(parts)} runs of {title} were computed elsewhere, in f32: {'; '.join(elsewhere)}."


def percent(value):
    return f"{100 * value:.2f}"


def result(name, row, recipe, arms):
    """Cells of a row's lines: one line for each measure."""
    for i, measure in enumerate(recipe.measure):
        cells = [middle([p["test"][measure] for p in row["parts"].get(arm, [])]) for arm in arms]
        yield [name if i == 0 else "", measure, *cells, difference(row["compared"].get(measure))]


def middle(values):
    """Median, lowest and highest."""
    if len(values) < 2:
        return f"{percent(values[0])} (one seed)" if values else ""
    low, median, high = (percent(record.spread(values)[key]) for key in ("min", "median", "max"))
    return f"{median} ({low} – {high})"


def difference(of):
    if not of:
        return ""
    error = of["two_standard_errors"]
    text = f"{100 * of['difference']:+.2f}" + ("" if error is None else f" ± {percent(error)}")
    return f"**{text}**" if of["worse"] else text


def recipe_lines(done, recipes):
    """The recipe of each row and the sizes of its parts."""
    table = []
    for name, row in done.items():
        recipe, sizes = recipes[name], row["sizes"]
        table.append([name, row["about"], recipe.task, recipe.measure[0], recipe.epochs, recipe.max_length, f"{recipe.learning_rate:g}",
                      *(f"{sizes[part]:,}" for part in sets.PARTS), sizes.get("left_out", 0)])
    columns = ["row", "what", "task", "epoch chosen by", "epochs", "longest", "rate", *sets.PARTS, "left out"]
    return record.table(columns, table)


def run_lines(done, recipes, arms):
    """Each run; the seconds are those of the whole, starts and test included; nothing where they were not taken."""
    table = []
    for name, row in done.items():
        first = recipes[name].measure[0]
        for arm, parts in row["parts"].items():
            for p in parts:
                seconds, peak = p["wall_seconds"], p["peak_bytes"]
                table.append([name, arms[arm], p["seed"], percent(p["test"][first]), percent(p["valid"][first]), p["epoch"],
                              f"{seconds:,.0f}" if seconds else "", f"{peak / 2**20:,.0f}" if peak else ""])
    return record.table(["row", "column", "seed", "test", "validation", "epoch", "seconds", "MiB"], table)


def command_lines(done):
    for name, row in done.items():
        yield f"# {name}"
        for parts in row["parts"].values():
            yield from (parts[0][key] for key in ("command", "test_command") if key in parts[0])
