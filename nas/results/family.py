"""`Family`: the sizes that come out of a run, by name."""

from collections.abc import Mapping

from nas.html import html_table
from nas.spec import ArchSpec


class Family(dict[str, ArchSpec]):
    """Size ("S", "M", "L") to network, smallest first; a notebook shows what each costs and its stages.

    Args:
        specs: The networks by size.
        num_classes: That their parameters are counted for.
        in_channels: Likewise.
    """

    def __init__(self, specs: Mapping[str, ArchSpec], *, num_classes: int, in_channels: int) -> None:
        super().__init__(specs)
        self.num_classes = num_classes
        self.in_channels = in_channels

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from nas.results.tables import family_members, family_rows

        members = family_members(self, num_classes=self.num_classes, in_channels=self.in_channels)
        columns, rows = family_rows(members)
        return html_table("Family", columns, rows) + "".join(spec._repr_html_() for spec in self.values())
