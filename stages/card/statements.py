"""What the pipeline can say of each item of CLAIM."""

from collections.abc import Callable, Mapping

from stages.card import about_data, about_model, about_results
from stages.card.facts import Facts, Said

STATEMENTS: Mapping[int, Callable[[Facts], Said]] = {
    1: about_model.technology,
    2: about_results.abstract,
    7: about_data.sources,
    8: about_data.eligibility,
    9: about_data.preprocessing,
    10: about_data.subsets,
    11: about_data.deidentification,
    12: about_data.missing,
    13: about_data.acquisition,
    14: about_data.reference,
    17: about_data.same_table,
    19: about_data.assignment,
    20: about_data.disjoint,
    21: about_data.size_of_test,
    22: about_model.network,
    23: about_model.software,
    24: about_model.initialization,
    25: about_model.training,
    26: about_model.selection,
    27: about_model.ensembling,
    28: about_results.measures,
    29: about_results.uncertainty,
    30: about_results.robustness,
    31: about_results.explainability,
    32: about_results.internal,
    33: about_results.external,
    35: about_data.numbers,
    36: about_data.characteristics,
    37: about_results.results,
    38: about_results.diagnostic,
    39: about_results.errors,
    40: about_results.limitations,
    41: about_results.implications,
    42: about_model.protocol,
    43: about_model.availability,
}
"""By number. Of the others the pipeline knows nothing."""
