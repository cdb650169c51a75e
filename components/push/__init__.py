"""Register a blessed model and hand it to serving."""
