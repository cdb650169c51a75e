"""Statistics of texts, shared by validate and monitor."""
