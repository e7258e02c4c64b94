"""Benchmarks the lineage graph: 100,000 nodes and 500,000 edges.

* Ingest: all edges told over gRPC to an aggregator that is a process of its own, on a real Valkey,
  until a question sees them.
* The three questions over gRPC, on that process, as its callers see them: `TracePropagation` of
  jobs, datasets, columns, features and models alike, six edges up and down, with the last windows
  of 200 models, five of which broke; `FindCommonCauses` of what one pipeline feeds;
  `GetBlastRadius` of features and pipelines.
* The process's memory thereafter.
* The same questions of propagation put to networkx: both in this process, one after the other, by
  CPU time, and their answers are held against each other. `speedup_vs_networkx` is the ratio of the
  time that all of the questions take; the median of the single ratios is printed before.

    python -m tests.bench.lineage [--quick]
"""
