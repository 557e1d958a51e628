"""The scripts stand beside the packages, not in them: put the project's folder where Python looks for modules."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
