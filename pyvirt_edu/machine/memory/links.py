"""Links from virtual addresses to decoded blocks.

A link says: code at this linear address, in this mode and since the last change of the
mapping (GENERATION), is that block. Links are a subset of what the fetch TLB holds, so a
fetch that finds one needs no translation; evicting a page from that TLB drops its links.
The links of one page lie together.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import links
from ..state.jit import core, core_hot
from ..state.layout import LINK_PER_PAGE


@core_hot
def link_slot(linear):
    return (linear >> 12 & 63) << 6 | (linear ^ linear >> 6) & 63


@core
def drop_links_of_page(m, linear):
    table = links(m)
    first = (linear >> 12 & 63) << 6
    for i in range(LINK_PER_PAGE):
        table[first + np.uint64(i)].context = np.uint64(0)
