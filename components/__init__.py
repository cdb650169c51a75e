"""The steps of the Berth pipeline, one folder each."""
