"""What the pipeline can say of the data: the items of CLAIM on sources, preparation, partitions and cases."""

from typing import Any

from stages.artifacts import intake
from stages.artifacts.cohort import Exclusion, Task
from stages.card.facts import Facts, Said, count, listed
from stages.labels import LEVELS
from stages.preprocess.params import Every, Most


def sources(found: Facts) -> Said:
    """Item 7."""
    batches = [
        f"{name} ({counts['files']:,} files, {counts['images']:,} images)"
        for name, counts in found.intake["batches"].items()
    ]
    sites = found.cohort.frame["site"].nunique()
    named = f"{count(sites, 'institution')} by the headers" if sites else "the headers name no institution"
    return Said(f"DICOM files in batches: {listed(batches)}; {named}.", whole=False)


def eligibility(found: Facts) -> Said:
    """Item 8: what the pipeline refuses. Whom the study meant, it cannot know."""
    return Said(
        f"Of the files that came in, those are used that are whole, hold an image, name a patient, do not say that "
        f"text is burned in, and have a label. {refused(found)}",
        whole=False,
    )


def preprocessing(found: Facts) -> Said:
    """Item 9."""
    given = found.preprocess
    window = "" if given.ct_window == "file" else f" (CT in Hounsfield units: the {given.ct_window} window)"
    collimation = ", the collimator's shadow cut off" if given.collimation == "remove" else ""
    level = "" if given.decode == "full" else ", decoded at a reduced level where the file allows"
    return Said(
        f"Each image is decoded by the one library that is named for its transfer syntax{level}, shown as its header "
        f"says (modality and VOI transformation, window number {given.window_number}{window}; where it has none, "
        "between percentiles), turned so that high is bright, ultrasound cropped to its regions"
        f"{collimation}, padded with black to a square and reduced to {given.size} x {given.size} pixels of 8 bits by "
        "the mean over the area. The network sees the one grey channel, normalised to mean "
        f"{found.header['mean']} and standard deviation {found.header['std']} or as its starting weights ask."
    )


def subsets(found: Facts) -> Said:
    """Item 10."""
    match found.preprocess.frames:
        case "all":
            frames = "every frame"
        case "middle":
            frames = "the middle frame"
        case Every(every=every):
            frames = f"the first frame and every {every}th after it"
        case Most(max=most):
            frames = f"at most {most} frames, evenly spaced,"
    chosen = (
        f"Of a file with several frames {frames} is used."
        if "frames," not in frames
        else f"Of a file with several, {frames} are used."
    )
    return Said(f"No labelled image was left out by choice. {chosen} {excluded(found)}")


def deidentification(found: Facts) -> Said:
    """Item 11."""
    doubtful = {
        "quarantine": "and so are ultrasound, secondary captures and fluoroscopy whose header does not say",
        "pass": "those whose header does not say are used",
    }[found.burned_in_absent]
    return Said(
        "Of a header an allow-list of attributes is kept, identifiers as keyed hashes (HMAC-SHA256), dates as days "
        "since the patient's first study, ages above 89 as 90 (docs/deidentification.md sets this beside DICOM PS3.15 "
        f"Annex E). Images whose header says that text is burned in are refused, {doubtful}. Text in pixels is not "
        "looked for, and faces are not removed. The results are pseudonymous, not anonymous."
    )


def missing(found: Facts) -> Said:
    """Item 12."""
    labels = found.cohort.labels()
    unknown = int((labels != labels).sum())  # noqa: PLR0124 - NaN
    partly = (
        f"Of {labels.size:,} labels {unknown:,} are unknown: they have no part in the loss, nor in a metric."
        if found.cohort.task is Task.MULTILABEL
        else "Every image of the cohort has a label."
    )
    stated = [
        f"{name.replace('_', ' ')} {int(found.cohort.frame[name].isna().sum()):,}"
        for name in ("age", "sex", "site", "manufacturer", "view", "body_part")
        if found.cohort.frame[name].isna().any()
    ]
    absent = f" Not stated in the header, of {len(found.cohort.frame):,} images: {', '.join(stated)}." if stated else ""
    return Said(f"{partly} Nothing was imputed. {excluded(found)}{absent}")


def acquisition(found: Facts) -> Said:
    """Item 13: what the headers say of the device and the stored image."""
    stored = found.stored
    sides = (
        f"{_range(stored['rows'])} rows by {_range(stored['columns'])} columns, {_range(stored['bits_stored'])} bits"
    )
    made = listed(sorted(found.cohort.frame["manufacturer"].dropna().unique())) or "not stated"
    seen = listed(sorted(found.cohort.frame["view"].dropna().unique())) or "not stated"
    return Said(f"As the headers say: manufacturers {made}; views {seen}; stored images of {sides}.", whole=False)


def reference(found: Facts) -> Said:
    """Item 14."""
    level = LEVELS[found.split.key].replace("instance", "image")
    classes = ", ".join(found.cohort.classes)
    return Said(f"One table of labels, one label for each {level}: {classes}. They are taken as given.", whole=False)


def same_table(_: Facts) -> Said:
    """Item 17."""
    return Said("The labels of test come from the same table as the others.", whole=False)


def assignment(found: Facts) -> Said:
    """Item 19."""
    shares = found.split.fractions
    apart = " External data were set aside whole before." if "external" in found.sides else ""
    return Said(
        f"Patients were dealt to train, val and test ({shares.train:g}, {shares.val:g}, {shares.test:g}) in the order "
        "of a hash within strata of the rarest label, batch by batch; a patient never moves later."
        f"{apart} In all: {sizes(found)}."
    )


def disjoint(found: Facts) -> Said:
    """Item 20."""
    ties = int((found.excluded["reason"] == Exclusion.JOINS_SUBSETS.name).sum())
    return Said(
        "Patients. Images that share a patient, a study, or the same looks (pixels, perceptual hash) are on one side; "
        f"{count(ties, 'image')} that would have tied two sides together {'was' if ties == 1 else 'were'} left out. "
        "The program cannot write a split that breaks this."
    )


def size_of_test(found: Facts) -> Said:
    """Item 21: the size there is, not the one that was meant."""
    rows = found.side("test")
    positive = [f"{name} {int((rows[f'label:{name}'] == 1).sum()):,}" for name in found.cohort.classes]
    return Said(f"Test has {found.size('test')}; images by label: {', '.join(positive)}.", whole=False)


def numbers(found: Facts) -> Said:
    """Item 35."""
    return Said(
        f"Of {intake.words(found.intake['total'])}. {refused(found)} {excluded(found)} In the cohort: {sizes(found)}."
    )


def characteristics(_: Facts) -> Said:
    """Item 36: what the headers say of patients."""
    return Said(
        "Age, sex, labels, sites, devices and views of each side: the table 'Patients and images on each side of the "
        "split'.",
        whole=False,
    )


def refused(found: Facts) -> str:
    """Files that came in and are not used."""
    reasons = found.intake["total"]["reasons"]
    if not reasons:
        return "No file was refused."
    return f"Files not used, by reason: {', '.join(f'{name} {number:,}' for name, number in reasons.items())}."


def excluded(found: Facts) -> str:
    """Images that are not in the cohort."""
    counts = found.excluded["reason"].value_counts()
    words = {
        Exclusion.UNLABELLED: "without a label",
        Exclusion.DUPLICATE: "delivered twice",
        Exclusion.JOINS_SUBSETS: "that would tie two sides together",
    }
    said = [f"{counts[reason.name]:,} {words[reason]}" for reason in Exclusion if counts.get(reason.name)]
    return f"Images left out: {', '.join(said)}." if said else "No image was left out."


def _range(values: Any) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def sizes(found: Facts) -> str:
    """Images and patients on each side of the split."""
    return ", ".join(f"{name} {found.size(name)}" for name in found.sides)
