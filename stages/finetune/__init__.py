"""One recipe of transfer learning: starting weights and a cohort to a classifier."""
