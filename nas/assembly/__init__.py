"""From the settings of a search to what it works with: data, evaluators, places to run, the study, tables."""
