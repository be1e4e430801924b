"""What the pipeline can say of results: the items of CLAIM on evaluation, performance and limits."""

from stages.artifacts.cohort import Task
from stages.card import about_model, facts
from stages.card.facts import Facts, Said, count, entry, label, listed, thresholds


def abstract(found: Facts) -> Said:
    """Item 2: all but the conclusion."""
    auroc = entry(found.evaluation["test"]["auroc"])
    parts = [f"trained on {found.size('train')}", f"tuned on {found.size('val')}", f"judged on {found.size('test')}"]
    return Said(
        f"{about_model.technology(found).text} It was {', '.join(parts)}: AUROC {auroc}. {outside(found)}".strip(),
        whole=False,
    )


def measures(found: Facts) -> Said:
    """Item 28."""
    names = [label(name) for name in facts.metrics(found.evaluation["test"])]
    kind = {
        Task.BINARY: f"of the positive class, {found.cohort.classes[-1]}",
        Task.MULTICLASS: (
            "as means over classes, each against the rest; but accuracy, balanced accuracy and F1 by the most probable "
            "class, and the Brier score as the sum over classes"
        ),
        Task.MULTILABEL: "as means over labels",
    }[found.cohort.task]
    return Said(f"{', '.join(names)}, {kind}. {thresholds(found)}")


def uncertainty(found: Facts) -> Said:
    """Item 29."""
    return Said(
        f"95 % intervals: percentiles of {found.judging.resamples:,} bootstrap resamples of patients, for images of "
        "one patient are not independent; of AUROC also by DeLong, summed by patient. Differences between recipes are "
        "paired, with DeLong's and McNemar's tests adjusted by Holm."
    )


def robustness(found: Facts) -> Said:
    """Item 30."""
    if "subgroups" not in found.evaluation["test"]:
        return Said("", whole=False)
    return Said("Results were judged by subgroups: see the table 'Subgroups on test'.")


def explainability(found: Facts) -> Said:
    """Item 31."""
    maps = found.evaluation.get("maps") or {}
    if not maps.get("layer"):
        return Said("", whole=False)
    checked = ", checked against a network of random weights" if maps.get("sanity") else ""
    where = f"Grad-CAM at the layer {maps['layer']}{checked}"
    return Said(f"{where}, beside the most confident right and wrong images in report.html.", whole=bool(checked))


def internal(found: Facts) -> Said:
    """Item 32."""
    val, test = (entry(found.evaluation[side]["auroc"]) for side in ("val", "test"))
    return Said(f"Test is a random part of the same sources' patients: AUROC {test} on test, {val} on val.")


def external(found: Facts) -> Said:
    """Item 33."""
    return Said(outside(found), whole="external" in found.evaluation)


def results(found: Facts) -> Said:
    """Item 37."""
    shown = [name for name in ("test", "external", "val") if name in found.evaluation]
    aurocs = ", ".join(f"{name} {entry(found.evaluation[name]['auroc'])}" for name in shown)
    return Said(f"AUROC with 95 % interval: {aurocs}. All metrics are in the table 'Performance'.")


def diagnostic(found: Facts) -> Said:
    """Item 38."""
    test = found.evaluation["test"]
    names = [name for name in ("sensitivity", "specificity", "ppv", "npv") if name in test]
    said = ", ".join(f"{label(name)} {entry(test[name])}" for name in names)
    return Said(f"On test, at the thresholds from val: {said}. ROC and precision-recall curves are in report.html.")


def errors(found: Facts) -> Said:
    """Item 39."""
    wrong = found.decisions[found.decisions["actual"] != found.decisions["predicted"]]
    pairs = wrong.value_counts(["actual", "predicted"]).reset_index(name="count")
    said = [
        f"{actual} taken for {predicted} {times:,}"
        for actual, predicted, times in zip(pairs["actual"], pairs["predicted"], pairs["count"], strict=True)
    ]
    most = f": {listed(said)}" if said else ""
    shown = " The most confident of them are shown in report.html." if found.judging.cases and said else ""
    return Said(f"{len(wrong):,} of {len(found.decisions):,} decisions on test are wrong{most}.{shown}", whole=False)


def limitations(found: Facts) -> Said:
    """Item 40: what is known without knowing the study."""
    parts = ["Labels are taken as given, with their errors."]
    if "external" not in found.evaluation:
        parts.append("How the model does on patients of other sources is not known.")
    if found.comparison["test_looks"] > 1:
        looks = found.comparison["test_looks"]
        parts.append(f"Test has judged {looks} models, so the best of them looks better than it is.")
    parts.append("A model can learn a shortcut, such as a device's borders, in place of the disease.")
    parts += found.comparison["warnings"]
    return Said(" ".join(parts), whole=False)


def implications(_: Facts) -> Said:
    """Item 41."""
    return Said("Research software, not a medical device: it must not be used to diagnose.", whole=False)


def outside(found: Facts) -> str:
    """The headline of external data, or nothing."""
    if "external" not in found.evaluation:
        return ""
    there = found.evaluation["external"]
    size = f"{count(there['images'], 'image')} of {count(there['patients'], 'patient')}"
    drop = f", less than on test by {entry(there['drop']['auroc'])}" if "drop" in there else ""
    area = entry(there["auroc"])
    return f"On {size} of sources that had no part in training, tuning or calibration: AUROC {area}{drop}."
