"""Keeps windows of importances, and ranks what shifted when calibration broke."""
