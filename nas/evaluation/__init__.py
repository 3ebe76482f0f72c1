"""A candidate in, a `Measurement` out: proxy training, step time, complexity, memory."""
