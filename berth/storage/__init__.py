"""Object stores and file locks."""
