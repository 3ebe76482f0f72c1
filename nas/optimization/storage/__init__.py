"""Where a study is kept: the journal of a run folder, or a storage that several drivers share."""
