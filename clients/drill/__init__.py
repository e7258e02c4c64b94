"""The fault drill: a real engagement world, a click model, and the faults that break it.

Read in this order: in `movielens`, `source` obtains the data, `catalogue` and `timeline` arrange
it, `history` looks back from each event, `*_features` compute what a pipeline would log, `world`
puts them on one table; `ads` generates another world, `tiers` one of models that feed each other,
`scenes` pictures for audits. `model`, `training` and `export` make a
checkpoint of it, `encoding` and `serving` score with it, `corruptions` and `pipeline_faults` break
it, `paper_cases` and `pipeline_cases` choose what to break.

`aftershock drill`: `subject` is what is drilled, `laboratory` the platform that it runs on, `drill`
the order of events, `scores` and `report` what came of it, `cli` and `run` the command.
"""
