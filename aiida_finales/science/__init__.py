"""Physics of electrolytes: models, formulation and the analysis of measurements. Imports no AiiDA."""
