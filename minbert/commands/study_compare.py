"""Compare systems on the same folds: word lists, classic learners, a frozen BERT and a flexible one. A paper's table.

    minbert study compare --data tweets.csv --text_column tweet --label_column stance --group_column author
    minbert study compare --data tweets.csv --systems table-s2 --tune 20 --seeds 3 --out runs/table-s2
    minbert study compare --data tweets.csv --systems vader words:moral.tsv svm+tfidf bert:frozen
    minbert study compare --data tweets.csv --out runs/table-s2 --shard 2/3   on the second of three machines
    minbert study compare --data tweets.csv --out runs/table-s2 --ray         on all cores, or a cluster of machines
    minbert study compare --data tweets.csv --permute                         with random labels: a check of the check

Everything is fitted on training parts: vocabulary, weights of words, settings, cut-points, the best epoch. Copies and
near copies of a text are in one fold. If a run was stopped or killed, the same command goes on. With --shard, machines
share the work: they share the folder of --out, or you copy the files in its units/ together; a last call without
--shard joins the results. It writes table.csv, table.md, table.tex, rows.csv.gz with every prediction, folds.csv and
study.json.

A system LEARNER+FEATURES is nb, svm, logreg, rf or xgb with count, tfidf or vectors (but not nb+vectors). words:FILE is
a word list: a word, a tab and a number on each line. ladder stands for twelve systems, from vader to bert:flexible,
classic for those without BERT, table-s2 for each rf, each xgb and bert:flexible.

Exit status: 0 done, 2 a mistake that you can fix, with the reason, 130 or 143 stopped by a signal.
"""

from pathlib import Path

from minbert.commands import common, study_data


def flags(parser):
    study_data.data_flags(parser)
    add = study_data.fold_flags(parser)
    add("--folds_file", metavar="FILE", help="made by minbert study folds, or elsewhere; default: made now")
    add = study_data.system_flags(parser)
    add("--permute", action="store_true", help="shuffle the labels: a check, every system must be at chance")
    add = parser.add_argument_group("output").add_argument
    add("--out", default="runs/study", metavar="FOLDER", help="default: %(default)s")
    add("--shard", type=study_data.shard, metavar="I/N", help="compute only the units of machine I of N, from 1")
    common.add_ray_flags(add)


def check(args):
    from minbert.runs.report import writable

    study_data.check_systems(args)
    common.check_ray(args)
    if args.folds_file:
        common.readable(args.folds_file)
    folder = Path(args.out)
    writable(folder / "study.json")
    return study_data.Job(args, study_data.expand(args.systems), folder)


def run(job):
    from minbert.fast.memory import retain_freed_memory
    from minbert.runs import state

    retain_freed_memory()
    data = study_data.read_data(job.args)
    with common.ray_of(job.args) as ray, state.Stop() as stop, study_data.claim(job):  # Ray has a handler of its own
        stop.advice = "; the same command goes on"
        study = prepare(job, data, stop)
        units = study.share(*job.args.shard) if job.args.shard else study.units()
        found = study_data.work(study, units, on_ray(job, study, units, ray) if ray else study.run(units))
        if job.args.shard:
            print(
                f"{len(units)} of {len(study.units())} units are done here; the last call, without --shard, joins all"
            )
            return
        finish(job, study, found)


def on_ray(job, study, units, ray):
    """What study.run gives, computed by the workers of Ray."""
    from minbert.runs.on_ray import place
    from minbert.runs.selftest import pick_device
    from minbert.study.on_ray import run as share

    trained = any(name.startswith("bert:") for name in job.names)
    device = pick_device(job.args.device) if trained else "cpu"
    return share(study, units, ray, place(ray, job.args.ray_cpus, device))


def prepare(job, data, stop):
    """Folds, systems and what they depend on."""
    import numpy as np

    from minbert.study import folds
    from minbert.study.scores import Score

    args, home, file = job.args, study_data.home(job), job.folder / "folds.csv"
    score = Score(len(data.names), study_data.positive(args.positive, data))
    planned = study_data.plan(job, data, job.folder, score, {"permute": args.permute})
    here = file if file.exists() else home / "folds.csv"
    divided = study_data.find_folds(args, data, args.folds_file or here)
    if args.permute:
        np.random.default_rng(folds.seed_of(args.seed, "permute")).shuffle(data.labels)
    study = study_data.study(job, data, planned, divided, stop)
    if args.folds_file or not here.exists():  # now that it is sure that the folder holds no study with others
        folds.write_folds(home / "folds.csv", data.ids, divided)
    return study


def finish(job, study, found):
    """Write rows and tables, and show the table."""
    from minbert.atomic import atomic_write
    from minbert.runs.columns import table as show
    from minbert.study import facts, rows, tables
    from minbert.study.note import note

    predictions = study.collect(found)
    rows.write_rows(job.folder / "rows.csv.gz", predictions)
    table = tables.summarise(predictions, study.score)
    table.note = note(study, table)
    texts = {"csv": tables.as_csv(table), "md": tables.as_markdown(table), "tex": tables.as_latex(table)}
    for kind, text in texts.items():
        with atomic_write(job.folder / f"table.{kind}") as new:
            new.write_text(text, encoding="utf-8")
    opened = {unit.name: {"seconds": made["seconds"], "settings": made["settings"]} for unit, made in found}
    facts.record(job.folder / "study.json", study.facts, {"systems": study.own_facts, "test_parts_opened": opened})
    header, *lines = tables.header(table), *map(tables.cells, table.lines)
    show(header, lines, width=120)
    print(*table.note, sep="\n")
    if job.args.permute:
        print(*chance(table, len(study.data.names)), sep="\n")
    names = "table.csv table.md table.tex rows.csv.gz folds.csv study.json"
    print(f"written to {job.folder}: {names}")


def chance(table, classes):
    """With random labels: whether each system's mean recall is what guessing reaches, 1 / C."""
    from minbert.study.tables import corrected

    folds = len(table.lines[0].values["f1"])
    for line in table.lines:
        mean, low, high = corrected(line.values["mean_recall"], line.ratio)
        word = "at chance" if low <= 1 / classes <= high else "NOT at chance: something leaks"
        yield f"{line.system}: mean recall {mean:.3f} [{low:.3f}, {high:.3f}] over {folds} folds, {word}"


def main(arguments):
    run(check(common.parse("study compare", __doc__, flags, arguments)))
