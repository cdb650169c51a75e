"""Is there anything new? The data, the settings and the code beside those of the current champion."""
