"""From a shift to a verified mitigation: incidents, policies, approvals, actions.

A calibration anomaly opens an incident. A policy turns its ranked shifts into a proposal, with a
preview of what it would do. An expert approves; only then a worker carries the proposal out, and
later windows decide whether it helped. What did not help is undone.
"""
