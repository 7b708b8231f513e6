"""What the figure of a sweep shows."""

from stages.tools import sweep


def lines(printed, parameter="mlp.width", metric="accuracy"):
    """The axes, and the points of each file by its label."""
    points = sweep.points(sweep.read_runs(printed), parameter, metric)
    axes = sweep.draw_sweep(points, parameter, metric).axes[0]
    return axes, {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
