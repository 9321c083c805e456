"""A test session's board when that is one that is up: attached to, booted anew where a test needs it, and left up."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from contracts.board import BoardSpec, Place
from contracts.errors import AssayError
from harness.boards.board import Board
from harness.boards.standing import StandingBoard, Variant
from harness.keeper.board import KeptBoard, attached
from harness.keeper.client import KeeperLink
from harness.keeper.find import up_for
from harness.kernel.build import KernelImage
from harness.lease import Lease


class KeptStanding(StandingBoard):
    """As `StandingBoard`, over the board of the kind that is up; where none is, a board is taken as usual.

    The board ends with the kernel that it was brought up with, running, and pristine but for the last test.
    """

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # the base's own, whatever they are
        self._kept: KeptBoard | None = None
        self._attachment = contextlib.ExitStack()
        self._anew = False

    @property
    def keeps(self) -> bool:
        """Whether the board is one that is up."""
        return self._kept is not None

    def claim(self, spec: BoardSpec) -> Lease:
        """Attach to the board of that kind that is up; without one, as the base."""
        if self._kept is not None and self.lease is not None and self._kept.spec.kind == spec.kind:
            return self.lease
        up = up_for(spec.kind, spec)
        if up is None:
            return super().claim(spec)
        self.drop()
        self._kept = self._attachment.enter_context(attached(up.socket, spec, watch=self._note))
        self.lease = self._kept.lease
        return self.lease

    def fresh(self, spec: BoardSpec, variant: Variant) -> Board:
        """The board, power-cycled for this call."""
        self._anew = True
        try:
            return super().fresh(spec, variant)
        finally:
            self._anew = False

    def off(self) -> None:
        """A board that is up stays so; the next test finds out how it is."""
        if self._kept is None:
            super().off()
            return
        self._board, self._variant = None, None

    def drop(self) -> None:
        """Leave the board up, with its own kernel. Raises what that boot raises, where one is needed."""
        kept, self._kept = self._kept, None
        if kept is None:
            super().drop()
            return
        self._board = self._last = self._variant = self.lease = None
        try:
            alive = True
            try:
                kept.check_alive()
            except AssayError:
                alive = False
            if not alive or kept.image.build_id != kept.kept_image.build_id:
                kept.boot(kept.kept_image)
        finally:
            self._attachment.close()

    def _boot(self, lease: Lease, image: KernelImage, variant: Variant) -> Board:
        kept = self._kept
        if kept is None:
            return super()._boot(lease, image, variant)
        same = kept.image.build_id == image.build_id
        tried = self._board is not None  # it was found dead
        self._board = self._last = kept
        self._variant = variant
        if same and not tried and not self._anew:
            try:
                kept.pristine()
            except AssayError:  # off, or dead since before this session
                kept.boot(image)
        else:
            kept.boot(image)
        return kept


def narrowed(specs: Sequence[BoardSpec]) -> list[BoardSpec]:
    """`specs`, those of which a board is up with that place alone: no simulator is started, and no other one leased."""
    out = []
    for spec in specs:
        up = up_for(spec.kind, spec)
        if up is None:
            out.append(spec)
            continue
        if not any(place.identity == up.identity for place in spec.places):
            with contextlib.closing(KeeperLink(up.socket)) as link:
                about = link.call("about")
            places: tuple[Place, ...] = (Place(up.place, console=about["console"]),)
        else:
            places = tuple(place for place in spec.places if place.identity == up.identity)
        out.append(replace(spec, places=places))
    return out
