"""The fault drill: a real engagement world, a click model, and the faults that break it.

Read in this order: `movielens` obtains the data, `catalogue` and `timeline` arrange it,
`history` looks back from each event, `*_features` compute what a pipeline would log, `world`
puts them on one table. `model`, `training` and `export` make a checkpoint of it, `encoding` and
`serving` score with it, `corruptions` and `paper_cases` break it.
"""
