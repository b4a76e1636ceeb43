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
KNOWN_SECRETS: Final = 64  # of a process, those that files were changed to among them
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
CONTEXT_CHARS: Final = 240_000  # where nothing is said of the model's own
CONTEXT_MOST_CHARS: Final = 2_000_000  # where it is
CONTEXT_CHARS_PER_TOKEN: Final = 2  # numbered lines that are short have little more
PROMPT_BYTES_PER_TOKEN: Final = 3  # a careful guess: English and JSON have about 4
CONTEXT_LEAST_CHARS: Final = 24_000
OVERHEAD_TOKENS: Final = 2_500  # of system prompt and tools; doctor warns above it
RECORD_CHARS: Final = 8_000
MAP_BYTES: Final = 9_000  # 3,000 tokens by that guess
MAP_FILES: Final = 50_000
MAP_PARSED_FILES: Final = 300
MAP_PARSED_BYTES: Final = 256 * KIB
MAP_WORDS: Final = 1_500
MAP_SECONDS: Final = 10.0
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

# A code agent that is a program of its own.
AGENT_SIDE_CALLS: Final = 20  # calls without tools, for titles and summaries
AGENT_LINE_BYTES: Final = 8 * MIB
AGENT_REQUEST_BYTES: Final = 32 * MIB
AGENT_HEAD_BYTES: Final = 64 * KIB
AGENT_END_SECONDS: Final = 5.0  # to end by itself after a refusal, and for its last calls
AGENT_NOTES: Final = 20
AGENT_TRAIL_EVENTS: Final = 40
AGENT_MEMORY_BYTES: Final = 64 * 1024 * MIB  # of address space: their runtimes reserve much

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
MODEL_STALL_SECONDS: Final = 120.0  # between two pieces of a stream; models think silently
MODEL_REST_SECONDS: Final = 60.0  # a task's rest when no model can answer and none says how long
TYPICAL_CHARS_PER_TOKEN: Final = 4  # for what is only a guess: whether a request fits a context
MODEL_REST_CAP_SECONDS: Final = 3_600.0  # whatever a provider asks for
BREAKER_FAILURES: Final = 5
BREAKER_WINDOW_SECONDS: Final = 60.0
BREAKER_PAUSE_SECONDS: Final = 30.0

# Cassettes.
TAPE_BYTES: Final = 32 * MIB  # of one attempt; what comes after is not recorded
TAPES: Final = 1_000  # attempts whose cassettes are kept, unless an operator says otherwise
TAPE_TEXT_CHARS: Final = 2 * MIB  # of one text: as much as a file that a tool may write

# Sandboxed commands.
COMMAND_SECONDS: Final = 600.0
COMMAND_OUTPUT_BYTES: Final = 1 * MIB
COMMAND_MEMORY_BYTES: Final = 4 * 1024 * MIB
COMMAND_PROCESSES: Final = 512
COMMAND_OPEN_FILES: Final = 4_096
COMMAND_FILE_BYTES: Final = 512 * MIB
REPORT_BYTES: Final = 16 * MIB  # a harness's own report: some 100,000 tests
KILL_GRACE_SECONDS: Final = 2.0

# The way of a sandboxed command to the hosts that the policy allows.
NETWORK_ENTRIES: Final = 50
NETWORK_AT_ONCE: Final = 32
NETWORK_CONNECTIONS: Final = 200  # of one command; each has a line in execution_logs
NETWORK_REFUSALS: Final = 50  # that have a line; the last line counts the rest
NETWORK_SENT_BYTES: Final = 16 * MIB  # an installation sends little: what is more could be a leak
NETWORK_RECEIVED_BYTES: Final = 1_024 * MIB
NETWORK_SECONDS: Final = 600.0  # of one connection
NETWORK_DIAL_SECONDS: Final = 15.0
NETWORK_END_SECONDS: Final = 2.0

# Changes.
DIFF_BYTES: Final = 2 * MIB
SHOWN_DIFF_BYTES: Final = DIFF_BYTES - 256 * KIB  # an effect of the ledger has 2 MiB in all
DIFF_FILES: Final = 200
TREE_FILES: Final = 100_000
TREE_BYTES: Final = 4 * 1024 * MIB
PULL_LINES: Final = 2_000  # more than that nobody reviews well; config/juggernaut.yaml
PULL_FILES: Final = 60
PULL_BODY_CHARS: Final = 60_000  # GitHub takes 65 536
PULL_TEXT_CHARS: Final = 4_000
EVIDENCE_BYTES: Final = 64 * KIB
LOG_MESSAGE_CHARS: Final = 8_000
OWNER_CHARS: Final = 300
EXCERPT_CHARS: Final = 2_000

# The linter on what a code agent wrote.
QUALITY_ROUNDS: Final = 2
QUALITY_TURNS: Final = 15
QUALITY_SECONDS: Final = 600.0
QUALITY_FINDINGS: Final = 40
QUALITY_HINT_CHARS: Final = 400
LINT_SECONDS: Final = 60.0
LINT_CONFIG_BYTES: Final = 256 * KIB

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
# Claims ahead of free hands, only while attempts are briefer than a claim's round trip.
AHEAD_SAMPLES: Final = 20  # brief attempts before anything is fetched ahead
AHEAD_MOST: Final = 100  # tasks, waiting and handing in, beside those in the hands
AHEAD_SECONDS: Final = 0.5  # a task that waited so long without a hand goes back
# A transaction that began before we asked, or while another wake-up was under way, gave no hint of
# its own; it is looked for after so long.
HINT_NAPS_SECONDS: Final = (0.02, 0.25)
DUTY_FAILURES_PER_LINE: Final = 20

# An attempt.
LEASE_CHECK_SECONDS: Final = 2.0  # so that a lost lease has ended its children within 5 s
STOP_SECONDS: Final = 6.0  # of RELEASE_SECONDS, for killing the children of an attempt
FINAL_WRITE_TRIES: Final = 5
FINAL_WRITE_PAUSE_SECONDS: Final = 0.5
STRUCTURED_TRIES: Final = 2
RECALLED_LEARNINGS: Final = 5
LEARNINGS_CHARS: Final = 8_000

# A forge behind a network. A call ends well before half of the shortest lease (60 s).
FORGE_READ_SECONDS: Final = 12
FORGE_CALL_SECONDS: Final = 25.0
FORGE_THREADS: Final = 4
FORGE_WRITE_PAUSE_SECONDS: Final = 1.0  # GitHub asks for this between writes
FORGE_BUSY_SECONDS: Final = 60.0  # when it says "too many" without saying how long
FORGE_BUSY_CAP_SECONDS: Final = 3_600.0
FORGE_SETTINGS_SECONDS: Final = 300.0
FORGE_PAGES: Final = 10
FORGE_PAGE_ITEMS: Final = 100
FORGE_REMEMBERED: Final = 256
FORGE_COMMENT_CHARS: Final = 60_000
FORGE_CHECK_CHARS: Final = 140  # of a commit status
WEBHOOK_BYTES: Final = 1 * MIB
WEBHOOK_PULLS: Final = 20  # that one delivery may name
FORGE_LOG_BYTES: Final = 32 * MIB
TOKEN_REFRESH_SECONDS: Final = 300.0
GIT_REMOTE_SECONDS: Final = 600.0
GIT_SLOW_SECONDS: Final = 30  # below 1 KiB/s for so long is a dead link
GIT_FETCH_BYTES: Final = 2_048 * MIB

# What doctor looks at.
DOCTOR_REPOSITORIES: Final = 20
DOCTOR_DAYS: Final = 7

# Doors over HTTP.
HTTP_CONNECTIONS: Final = 64
HTTP_HEAD_BYTES: Final = 16 * KIB
HTTP_IDLE_SECONDS: Final = 5

# Research in a repository.
SEARCHED_FILES: Final = 5_000
SEARCHED_FILE_BYTES: Final = 512 * KIB
SOURCES: Final = 12
SOURCE_LINES: Final = 12

# The life of a pull request.
FIX_ROUNDS: Final = 3
UPDATE_ROUNDS: Final = 3
EFFECT_LOCK_SECONDS: Final = 100.0  # less than the threshold transaction_seconds
WATCHES_PER_LOOK: Final = 20
SHOWN_CHECKS: Final = 5
DECIDING_LOOKS: Final = 4  # a forge works out in some seconds whether it can merge
DECIDING_SECONDS: Final = 1.0
PLANNED_FILES: Final = 200
