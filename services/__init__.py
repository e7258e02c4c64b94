"""The services of Aftershock, in the order in which data meets them.

Examples that a model scored enter at `attribution`, which answers how much each feature of each
example mattered. `aggregator` keeps those importances by window, and compares the window in which
calibration broke with one from before. `runbook` turns the ranked shifts into an incident, proposes
a mitigation, waits for an expert, acts and verifies. Data moves to the right and comes back for one
thing only: the runbook asks attribution what a proposed mitigation would do. Beside this
stream, the aggregator keeps what feeds what and what happened to it, as pipelines tell it; and
`audit` looks through the data that models are trained on for ids which could hijack them.

Each service stands on five floors and imports point downwards only:

    __main__   reads settings, chooses adapters, wires, serves
    adapters   one technology a file
    use cases  one verb a file, beside this package's folders
    ports      what the use cases need from outside, as Protocols
    domain     nouns and rules: the standard library and NumPy

The services never import each other: they meet in the contract, `aftershock.v1`. `chassis` is what
each of them stands on, and knows none of them.
"""
