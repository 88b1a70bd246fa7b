"""The latents of the family grid, from FORMAT.md, section 11."""

from __future__ import annotations

from decimal import Decimal
from operator import mul

from reference import each, nearest
from reference_coding import Mixture, UnknownError, bisect, bracket, clip, inverse_scale, leaky, seen, shares, within
from reference_layers import add, border, plus

LANES = 1 << 12
PHASES = [(0, 0), (1, 1), (0, 1), (1, 0)]
NEAREST = {
    1: [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)],
    2: [(0, 0, 0), (0, 0, 1), (1, -1, 0), (1, 0, 0)],
    3: [(0, 0, 0), (0, 1, 0), (1, 0, -1), (1, 0, 0)],
}


class Prior:
    """Reads the latents of a picture of height x width sites."""

    def __init__(self, layers, height, width, quality):
        self.layers, self.height, self.width, self.quality = layers, height, width, quality
        self.sizes = layers.arrays["prior.groups"]
        self.groups = []  # of each group that is read: lists of latents, as they are seen as context, by (row, column)
        self.fine = []  # the same as they go into the decoded picture, in 2^-8

    def read(self, streams):
        """Latents of all groups, in 2^-8."""
        for stream in streams:
            self.read_group(stream)
        return [
            [[v for group in self.fine for v in group[row, col]] for col in range(self.width)]
            for row in range(self.height)
        ]

    def read_group(self, stream):
        index = len(self.groups)
        name, values, fine = f"prior.groups.{index}", {}, {}
        context = self.context(name, index)
        hierarchical = index < self.layers.arrays["prior.hierarchical"]
        strides = [16, 8, 4, 2, 1] if hierarchical else [1]
        for number, stride in enumerate(strides):
            for phase in range(1 if number else 0, 4):
                sites = self.sites(stride, phase)
                step = self.layers.arrays[f"{name}.step"][4 * number + phase]
                planes = [self.plane(values, stride, earlier) for earlier in range(phase)]
                mixtures = []
                for row, col in sites:
                    place = row // (2 * stride), col // (2 * stride)
                    window = see(planes, *place, self.sizes[index], hierarchical)
                    mixtures += self.mixtures(name, plus(context[row][col], step), stride, phase, *window)
                found = []
                for start in range(0, len(mixtures), LANES):
                    found += read_run(stream, mixtures[start : start + LANES])
                for place, site in enumerate(sites):
                    own = found[place * self.sizes[index] :][: self.sizes[index]]
                    values[site], fine[site] = [v for v, _ in own], [v for _, v in own]
        self.groups.append(values)
        self.fine.append(fine)

    def sites(self, stride, phase):
        a, b = PHASES[phase]
        rows, columns = range(stride * a, self.height, 2 * stride), range(stride * b, self.width, 2 * stride)
        return [(row, col) for row in rows for col in columns]

    def context(self, name, index):
        level = self.layers.level(f"{name}.level", self.quality)
        if index == 0:
            return [[level] * self.width for _ in range(self.height)]
        shown = [[self.shown(row, col) for col in range(self.width)] for row in range(self.height)]
        g = self.layers.conv(f"{name}.coarser", shown)
        g = [[[clip(v) for v in plus(site, level)] for site in row] for row in g]
        return each(clip, add(g, self.layers.conv(f"{name}.around", each(leaky, g))))

    def shown(self, row, col):
        """What finer groups see of a site."""
        found = []
        for index, group in enumerate(self.groups):
            here = group[row, col]
            if index < self.layers.arrays["prior.hierarchical"]:
                near = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
                near = [group[within(r, 0, self.height - 1), within(c, 0, self.width - 1)] for r, c in near]
                found += [seen(4 * v - total, 4) for v, total in zip(here, plus(*near), strict=True)]
                found += [seen(v, 8) for v in here]
            else:
                found += [seen(v, 1) for v in here]
        return found

    def plane(self, values, stride, phase):
        sites = self.sites(stride, phase) or self.sites(stride, 0)
        rows = sorted({row for row, _ in sites})
        return [[values[site] for site in sites if site[0] == row] for row in rows]

    def mixtures(self, name, h, stride, phase, window, base):
        if phase:
            h = plus(h, self.layers.affine(f"{name}.window.{int(stride > 1)}.{phase - 1}", window))
        h = [clip(v) for v in h]
        for part in ("first", "second"):
            h = [clip(v) for v in plus(h, self.layers.affine(f"{name}.{part}", [leaky(v) for v in h]))]
        out = self.layers.affine(f"{name}.output", [leaky(v) for v in h])
        size, narrow, found = len(base), nearest(Decimal("-1.5").exp() * (1 << 20)), []
        for m, t, u, b in zip(out[:size], out[size : 2 * size], out[2 * size :], base, strict=True):
            m = within(m + (b << 10), -(1 << 27), 1 << 27)
            r = inverse_scale(t, -4, 5)
            weights, inverses = shares([0, u - (2 << 12)]), [r, r * narrow >> 20]
            centre = m + (1 << 11) >> 12
            found.append(Mixture(-(1 << 15), 1 << 15, weights, [m >> 4, m >> 4], inverses, centre, bracket(t, 7)))
        return found


def see(planes, i, j, size, hierarchical):
    """What the site (i, j) of the next phase sees of the planes known, and its base."""
    base = [0] * size
    if planes and hierarchical:
        base = plus(*(border(planes[plane], i + r, j + c) for plane, r, c in NEAREST[len(planes)]))
    taps = [border(plane, i + r, j + c) for plane in planes for r in range(-1, 3) for c in range(-1, 3)]
    if hierarchical:
        return [seen(4 * v - b, 4) for tap in taps for v, b in zip(tap, base, strict=True)], base
    return [seen(v, 1) for tap in taps for v in tap], base


def read_run(stream, mixtures):
    """Of each lane the latent as context, and as it goes into the decoded picture, in 2^-8."""
    try:
        return [(value, value << 8) for value in bisect(stream, mixtures)]
    except UnknownError:
        return [(mixture.centre, expected(mixture)) for mixture in mixtures]


def expected(mixture):
    """What stands for a latent that is not there, in 2^-8."""
    if mixture.inverses[0] <= 1 << 12:
        return mixture.means[0]
    below = [sum(map(mul, mixture.weights, mixture.edges(mixture.centre + n))) >> 24 for n in (-1, 0, 1, 2)]
    return (mixture.centre << 8) + ((1 << 25) - sum(below) >> 16)
