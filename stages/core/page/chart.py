"""Line charts as SVG: where lines and ticks lie; a template draws them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 50  # margins; all in units of the picture
MOST_POINTS = 500  # of a line; more would lie on one another
MOST_NAMES = 10  # on an axis; of more, every other one, or fewer

Point = TypeVar("Point")


def thinned(points: Sequence[Point]) -> list[Point]:
    """Every n-th point where there are many, and the last."""
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]


class Line(NamedTuple):
    name: str
    points: Sequence[tuple[float, float]]


class Chart(NamedTuple):
    """Lines over one another, both axes up from zero to the largest value, or to `top`. `x_names`:
    what stands at 0, 1, 2 … on the x axis, instead of numbers. `band`: behind the lines, for each
    x from where to where."""

    lines: Sequence[Line]
    x_label: str
    y_label: str
    top: float = 0
    x_names: Sequence[str] = ()
    band: Sequence[tuple[float, float, float]] = ()

    @property
    def limits(self) -> tuple[float, float]:
        x, y = zip(*(point for line in self.lines for point in line.points), strict=True)
        return max(*x, 0) or 1, self.top or max(*y, 0) or 1

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies, to a tenth of a unit."""
        right, top = self.limits
        across = LEFT + x / right * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    def path(self, line: Line) -> str:
        """The line as the attribute `d` of an SVG path."""
        places = [self.place(*point) for point in thinned(line.points)]
        return "M" + "L".join(f"{x},{y}" for x, y in places)

    @property
    def area(self) -> str:
        """The band as the attribute `d` of an SVG path."""
        lows, highs = ([self.place(x, ends[side]) for x, *ends in self.band] for side in range(2))
        return "M" + "L".join(f"{x},{y}" for x, y in [*lows, *reversed(highs)]) + "Z"

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        if self.x_names:
            step = -(-len(self.x_names) // MOST_NAMES)
            named = [*enumerate(self.x_names)][::step]
            return [(self.place(x, 0)[0], name) for x, name in named]
        return [(self.place(x, 0)[0], f"{x:g}") for x in ticks(self.limits[0])]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.place(0, y)[1], f"{y:g}") for y in ticks(self.limits[1])]


def ticks(largest: float) -> list[float]:
    """At most seven round numbers from zero to the largest."""
    for exponent in range(-12, 300):
        for digit in (1, 2, 5):
            step = float(f"{digit}e{exponent}")
            if largest / step <= 6:
                return [round(index * step, 12) for index in range(int(largest / step + 1e-9) + 1)]
    raise ValueError(f"{largest} is no length of an axis")
