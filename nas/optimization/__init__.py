"""What the search optimises and how it proposes candidates: objectives, samplers, Pareto maths. No torch."""
