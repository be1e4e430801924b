"""The nine sections of a model card (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, section 4)."""

from typing import NamedTuple

from stages.card import about_data, about_model, about_results, tables
from stages.card.facts import Facts, Said
from stages.card.tables import Table

REFERENCE = (
    "Mitchell M, Wu S, Zaldivar A, et al. Model Cards for Model Reporting. FAT* 2019. "
    "https://doi.org/10.1145/3287560.3287596"
)


class Point(NamedTuple):
    """One thing that a section tells: by the pipeline, by the author (the key of a question), or by both."""

    name: str
    said: Said | None = None
    question: str = ""


class Section(NamedTuple):
    """A section of the card."""

    title: str
    points: list[Point]
    tables: list[Table]


def sections(found: Facts) -> list[Section]:
    """All of them, in order."""
    return [
        Section(
            "Model details",
            [
                Point("Developed by", question="owner"),
                Point(
                    "Version",
                    Said(f"Recipe '{found.recipe}', SHA-256 of its weights {found.sha256}. MLflow has its date."),
                ),
                Point("Type", about_model.technology(found)),
                Point("Model", about_model.network(found)),
                Point("Starting point", about_model.initialization(found)),
                Point("Training", about_model.training(found)),
                Point("Chosen by", about_model.selection(found)),
                Point("Software", about_model.software(found)),
                Point("Licence", question="licence"),
                Point("To cite", question="citation"),
                Point("Contact", question="contact"),
            ],
            [tables.settings(found)],
        ),
        Section(
            "Intended use",
            [
                Point("Intended use", question="intended_use"),
                Point("Intended users", question="intended_users"),
                Point("Out of scope", Said(_out_of_scope(found), whole=False), "out_of_scope"),
            ],
            [],
        ),
        Section(
            "Factors",
            [
                Point("Groups and instruments in the data", Said(_factors(found))),
                Point("Acquisition", about_data.acquisition(found), "acquisition"),
                Point("By subgroup", about_results.robustness(found), "robustness"),
            ],
            [],
        ),
        Section(
            "Metrics",
            [
                Point("Measures and thresholds", about_results.measures(found)),
                Point("Uncertainty", about_results.uncertainty(found)),
            ],
            [],
        ),
        Section(
            "Evaluation data",
            [
                Point("Test", Said(f"{found.size('test')} from the same sources, set aside before training.")),
                Point("External", about_results.external(found), "external"),
                Point("Reference standard", about_data.reference(found), "reference_standard"),
                Point("Preprocessing", about_data.preprocessing(found)),
            ],
            [tables.cohort(found)],
        ),
        Section(
            "Training data",
            [
                Point("Sources", about_data.sources(found), "data_sources"),
                Point("Train and val", Said(f"Train: {found.size('train')}. Val: {found.size('val')}.")),
                Point("Sides of the split", about_data.assignment(found)),
                Point("Disjoint", about_data.disjoint(found)),
                Point("What was left out", about_data.numbers(found)),
                Point("Missing data", about_data.missing(found)),
            ],
            [],
        ),
        Section(
            "Quantitative analyses",
            [
                Point("In short", about_results.results(found)),
                Point("At the operating point", about_results.diagnostic(found)),
                Point("Wrong decisions", about_results.errors(found), "failure_analysis"),
                Point("Intersections of groups", Said("Not judged: the groups would be too small to say anything.")),
            ],
            [*tables.performance(found), tables.rivals(found)],
        ),
        Section(
            "Ethical considerations",
            [
                Point("Personal data", about_data.deidentification(found)),
                Point("Review, consent, harm", question="ethics"),
            ],
            [],
        ),
        Section(
            "Caveats and recommendations",
            [
                Point("Limitations", about_results.limitations(found), "limitations"),
                Point("Use", about_results.implications(found), "implications"),
            ],
            [],
        ),
    ]


def _out_of_scope(found: Facts) -> str:
    frame = found.cohort.frame
    kinds = {
        "modality": sorted(frame["modality"].dropna().unique()),
        "body part": sorted(frame["body_part"].dropna().unique()),
        "view": sorted(frame["view"].dropna().unique()),
    }
    said = "; ".join(f"{name} {', '.join(values)}" for name, values in kinds.items() if values)
    known = f" It has seen nothing but {said}." if said else ""
    ages = frame["age"].dropna()
    old = f" Its patients were {ages.min():.0f} to {ages.max():.0f} years old." if len(ages) else ""
    return f"Diagnosis: it is research software, not a medical device.{known}{old}"


def _factors(found: Facts) -> str:
    frame = found.cohort.frame
    several = [
        f"{name.replace('_', ' ')} ({frame[name].nunique():,})"
        for name in ("sex", "site", "manufacturer", "modality", "view", "body_part", "batch")
        if frame[name].nunique() > 1
    ]
    varies = f"What varies in the headers: {', '.join(several)}" if several else "The headers vary in nothing"
    ages = ", and age" if frame["age"].nunique() > 1 else ""
    return f"{varies}{ages}. The table 'Patients and images on each side of the split' counts them."
