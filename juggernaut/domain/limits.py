"""Every bound of the program, unit last in the name.

Thresholds that the database needs too (heartbeats, leases, staleness) live in the table
juggernaut.thresholds and nowhere else.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Text at the door.
TITLE_CHARS: Final = 300
TEXT_CHARS: Final = 100_000
CRITERION_CHARS: Final = 2_000
CRITERIA_PER_TASK: Final = 30
TASKS_PER_PROPOSAL: Final = 25
CONFIG_FILE_BYTES: Final = 256 * KIB
CONFIG_DEPTH: Final = 12

# The built-in code agent.
AGENT_TURNS: Final = 40
AGENT_REPEATS: Final = 3
AGENT_SECONDS: Final = 1_800.0
AGENT_SHARE: Final = 0.8  # of the task's own timeout, so that there is time to land
TOOL_OUTPUT_CHARS: Final = 12_000
READ_LINES: Final = 400
SEARCH_HITS: Final = 60
LIST_ENTRIES: Final = 300
EDIT_FILE_BYTES: Final = 2 * MIB
CONTEXT_CHARS: Final = 240_000
TOOL_CALLS_PER_TURN: Final = 16
TOOL_PATH_CHARS: Final = 1_000
TOOL_LINE_CHARS: Final = 500
TOOL_RUN_SECONDS: Final = 120.0
LIST_DEPTH: Final = 6
SEARCH_PATTERN_CHARS: Final = 500
SEARCH_SECONDS: Final = 15.0

# The landing turn: one small call, set aside with the first one, to stop in good order.
LANDING_CHARS: Final = 12_000
LANDING_TOKENS: Final = 1_024
LANDING_SECONDS: Final = 60.0
LANDING_NOTE_CHARS: Final = 4_000

# Model calls.
REPLY_TOKENS: Final = 16_384
MODEL_SECONDS: Final = 300.0
MODEL_TRIES: Final = 4
CHARS_PER_TOKEN: Final = 1  # of JSON in ASCII: no token is shorter, so the reserve is a bound
MODEL_OVERHEAD_TOKENS: Final = 1_000  # what a provider adds to a prompt with tools
MODEL_REPLY_BYTES: Final = 8 * MIB
MODEL_ERROR_CHARS: Final = 300
MODEL_GARBLED_RETRIES: Final = 1
MODEL_RETRY_BASE_SECONDS: Final = 1.0
MODEL_RETRY_CAP_SECONDS: Final = 60.0

# Sandboxed commands.
COMMAND_SECONDS: Final = 600.0
COMMAND_OUTPUT_BYTES: Final = 1 * MIB
COMMAND_MEMORY_BYTES: Final = 4 * 1024 * MIB
COMMAND_PROCESSES: Final = 512
COMMAND_FILE_BYTES: Final = 512 * MIB
KILL_GRACE_SECONDS: Final = 2.0

# Changes.
DIFF_BYTES: Final = 2 * MIB
DIFF_FILES: Final = 200
EVIDENCE_BYTES: Final = 64 * KIB
LOG_MESSAGE_CHARS: Final = 8_000
EXCERPT_CHARS: Final = 2_000

# Retry of a failed attempt: 30 s doubled per attempt, jittered, at most an hour.
RETRY_BASE_SECONDS: Final = 30.0
RETRY_CAP_SECONDS: Final = 3_600.0

# Supervisor.
RESTARTS_MAX: Final = 5
RESTART_WINDOW_SECONDS: Final = 300.0
RESTART_BASE_SECONDS: Final = 0.5
RESTART_CAP_SECONDS: Final = 30.0
STALL_SECONDS: Final = 90.0
DRAIN_SECONDS: Final = 20.0
RELEASE_SECONDS: Final = 10.0  # a cancelled attempt has this long to give its task back
CLOSE_SECONDS: Final = 3.0
POLLS_PER_HINT_REQUEST: Final = 6
DUTY_FAILURES_PER_LINE: Final = 20

# An attempt.
LEASE_CHECK_SECONDS: Final = 2.0  # so that a lost lease has ended its children within 5 s
STOP_SECONDS: Final = 6.0  # of RELEASE_SECONDS, for killing the children of an attempt
FINAL_WRITE_TRIES: Final = 5
FINAL_WRITE_PAUSE_SECONDS: Final = 0.5
STRUCTURED_TRIES: Final = 2
RECALLED_LEARNINGS: Final = 5
LEARNINGS_CHARS: Final = 8_000

# Research in a repository.
SEARCHED_FILES: Final = 5_000
SEARCHED_FILE_BYTES: Final = 512 * KIB
SOURCES: Final = 12
SOURCE_LINES: Final = 12
