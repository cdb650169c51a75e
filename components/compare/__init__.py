"""Compare the data, the settings and the code with those of the current champion."""
