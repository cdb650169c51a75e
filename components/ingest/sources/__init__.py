"""Where rows come from: files, stores, databases, queries."""
