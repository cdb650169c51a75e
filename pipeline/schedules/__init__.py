"""Schedules on a cluster and on one machine."""
