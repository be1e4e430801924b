"""The 44 items of CLAIM, the Checklist for Artificial Intelligence in Medical Imaging, 2024 update.

Tejani et al., Radiology: Artificial Intelligence 2024; 6(4): e240300, doi:10.1148/ryai.240300. Numbers and order are
the checklist's; the words are ours and short, so a submission needs the official form beside them.
"""

from typing import NamedTuple


class Item(NamedTuple):
    """One item, and what the author is asked where the pipeline does not know all of it."""

    number: int
    section: str
    title: str
    questions: tuple[str, ...] = ()


REFERENCE = (
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 "
    "Update. Radiology: Artificial Intelligence 2024; 6(4): e240300. https://doi.org/10.1148/ryai.240300"
)

ITEMS = (
    Item(1, "Title and abstract", "Named as a study of AI, and of which kind"),
    Item(2, "Title and abstract", "Summary of design, methods, results and conclusions", ("conclusions",)),
    Item(3, "Introduction", "Background; intended use and role of the AI", ("background", "intended_use")),
    Item(4, "Introduction", "Aims, objectives and hypotheses", ("objectives",)),
    Item(5, "Methods: design", "Prospective or retrospective", ("design",)),
    Item(6, "Methods: design", "Goal of the study", ("goal",)),
    Item(7, "Methods: data", "Sources of the data", ("data_sources",)),
    Item(8, "Methods: data", "Criteria of inclusion and exclusion", ("eligibility",)),
    Item(9, "Methods: data", "Preprocessing"),
    Item(10, "Methods: data", "Selection of subsets of the data"),
    Item(11, "Methods: data", "De-identification"),
    Item(12, "Methods: data", "Missing data"),
    Item(13, "Methods: data", "Image acquisition", ("acquisition",)),
    Item(14, "Methods: reference standard", "How the reference standard was obtained", ("reference_standard",)),
    Item(15, "Methods: reference standard", "Why this reference standard", ("reference_rationale",)),
    Item(16, "Methods: reference standard", "Source of the annotations", ("annotators",)),
    Item(17, "Methods: reference standard", "Annotation of the test set", ("test_annotation",)),
    Item(18, "Methods: reference standard", "Variability between and within raters", ("rater_variability",)),
    Item(19, "Methods: partitions", "How data were assigned to partitions"),
    Item(20, "Methods: partitions", "Level at which partitions are disjoint"),
    Item(21, "Methods: testing data", "Intended sample size", ("sample_size",)),
    Item(22, "Methods: model", "Description of the model"),
    Item(23, "Methods: model", "Software libraries, frameworks, packages"),
    Item(24, "Methods: model", "Initialization of the parameters"),
    Item(25, "Methods: training", "Training approach"),
    Item(26, "Methods: training", "Selection of the final model"),
    Item(27, "Methods: training", "Ensembling"),
    Item(28, "Methods: evaluation", "Metrics of performance"),
    Item(29, "Methods: evaluation", "Statistical significance and uncertainty"),
    Item(30, "Methods: evaluation", "Robustness or sensitivity analysis", ("robustness",)),
    Item(31, "Methods: evaluation", "Explainability or interpretability", ("explainability",)),
    Item(32, "Methods: evaluation", "Evaluation on internal data"),
    Item(33, "Methods: evaluation", "Testing on external data", ("external",)),
    Item(34, "Methods: evaluation", "Registration as a clinical trial", ("trial_registration",)),
    Item(35, "Results: data", "Numbers included and excluded"),
    Item(36, "Results: data", "Characteristics of the cases in each partition", ("clinical_characteristics",)),
    Item(37, "Results: performance", "Performance and its uncertainty"),
    Item(38, "Results: performance", "Diagnostic performance and its precision"),
    Item(39, "Results: performance", "Analysis of wrong results", ("failure_analysis",)),
    Item(40, "Discussion", "Limitations", ("limitations",)),
    Item(41, "Discussion", "Implications for practice; intended use, clinical role", ("implications", "intended_use")),
    Item(42, "Other information", "Full protocol, additional technical details", ("protocol",)),
    Item(43, "Other information", "Availability of software, model and data", ("availability",)),
    Item(44, "Other information", "Funding, and the funders' role", ("funding",)),
)
