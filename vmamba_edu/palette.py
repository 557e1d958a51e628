"""The one palette of the course: seven hues that stay apart in the three common colour-vision deficiencies.

Source: M. Okabe and K. Ito, Color Universal Design (2008); yellow is left out, as it is too pale for lines on white.
"""

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"

INK = "#333333"
QUIET = "#B0B0B0"
"""For what may be overlooked, such as a grid: too pale for a line that says something."""
MARK = "#767676"
"""For a line that says where something is, a limit or the place where one stands, and is no data."""
SEQUENTIAL = "cividis"
"""For quantities: even in lightness, and made to look the same with and without red-green deficiency."""
DIVERGING = "PuOr_r"
"""For quantities with a sign: purple below, white at zero, orange above."""
