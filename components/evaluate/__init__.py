"""Judge a model on the test split against the gates, and show it in a report."""
