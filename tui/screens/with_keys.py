"""All that has keys which can be changed."""

from __future__ import annotations

from tui.screens.chat import ChatScreen
from tui.screens.dialogs import ChangeDialog, EditDialog, ErrorDialog, LeaveDialog, ReadDialog
from tui.screens.machines import MachinesScreen
from tui.screens.preview import PreviewScreen
from tui.screens.review import ReviewScreen
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen
from tui.widgets.error_card import ErrorCard
from tui.widgets.loss_chart import LossChart

WITH_KEYS = (
    WalkScreen, SessionsScreen, ReviewScreen, MachinesScreen, ChatScreen, PreviewScreen, TourScreen, ErrorCard, LossChart,
    LeaveDialog, ChangeDialog, EditDialog, ReadDialog, ErrorDialog,
)  # fmt: skip
