"""All that has keys which can be changed."""

from __future__ import annotations

from tui.screens.chat import ChatScreen
from tui.screens.conversation import ConversationScreen
from tui.screens.dialogs import ChangeDialog, EditDialog, ErrorDialog, HelpDialog, LeaveDialog, ReadDialog, StopDialog
from tui.screens.flow_tests import FlowScreen
from tui.screens.machines import MachinesScreen
from tui.screens.preview import PreviewScreen
from tui.screens.review import ReviewScreen
from tui.screens.sessions import SessionsScreen
from tui.screens.tour import TourScreen
from tui.screens.walk import WalkScreen
from tui.widgets.error_card import ErrorCard
from tui.widgets.log_panel import LogPanel
from tui.widgets.log_view import LogView
from tui.widgets.long_list import LongList
from tui.widgets.loss_chart import LossChart
from tui.widgets.replay import Replay
from tui.widgets.run_panel import RunPanel

WITH_KEYS = (
    WalkScreen, SessionsScreen, ReviewScreen, FlowScreen, ConversationScreen, MachinesScreen, ChatScreen, PreviewScreen, TourScreen,
    LeaveDialog, StopDialog, ChangeDialog, EditDialog, ReadDialog, HelpDialog, ErrorDialog, ErrorCard, RunPanel, LossChart, Replay,
    LogPanel, LogView, LongList,
)  # fmt: skip
