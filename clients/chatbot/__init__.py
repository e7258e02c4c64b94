"""Approvals in chat: shows incidents where experts live, lets the right people decide.

    core/        what a message says and what a button means: pure, the same for every chat system
    ports.py     the chat room, the runbook and the pictures, as the use cases need them
    follow.py    every incident that changes -> its message is made true
    show.py      one incident -> one message, its thread and its plots, posted once
    decide.py    a click -> the runbook's decision, in the clicker's name -> an answer
    ask.py       a typed command -> an answer
    adapters/    one technology a file: Slack's renderer, transport and events; the SDK; matplotlib

A bot is a client of the runbook like any other and keeps nothing itself: where a message is, what
it shows and how far its thread has come is recorded in the runbook. So a bot may be down, doubled
or restarted at any time. Another chat system takes one renderer and one transport.
"""
