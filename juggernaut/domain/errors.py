"""The error tree.

JuggernautError
|- ConfigError            usage or configuration: one line, exit code 2
|- DatabaseUnreachable    no answer from PostgreSQL
|- SchemaDrift            the schema is not the one that this program was written for
|- InvalidInput           a value from outside was refused at the door
|- LawRefused             PostgreSQL refused a write (the message is the database's)
|- InvariantBroken        our own code is wrong: stop, keep the row, raise an alert
|- AttemptError           an attempt could not do its work
|  |- ModelError          a language model call failed
|  |  |- ModelUnavailable    rate limit, overload, 5xx, lost connection
|  |  |  `- ModelsBusy          none can answer now: later, and the attempt does not count
|  |  |- ModelRefused        400 or 401: never retried
|  |  |- ModelGarbled        truncated, garbled or without a finish reason
|  |  `- UnknownPrice        the model has no price and no ceiling is set
|  |- BudgetExhausted     the purse cannot cover the next call
|  |- AgentFailed         the code agent ended without a usable change
|  |- TooBig              the change is larger than one pull request may be
|  |- CriteriaUnmet       the verifier found a criterion unmet
|  |- CommandFailed       a command that had to succeed did not
|  |- CommandTimeout      a command ran into its time limit
|  `- ForgeError          the forge refused or could not be reached
|     |- PullConflict        the change does not apply to the base any more
|     |- HeadMoved           the head is not the sha that was verified
|     |- NotQueued           the forge's merge queue does not take it as it is
|     |- NothingToMerge      no commits between head and base
|     |- PullClosed          a person closed the pull request without a merge
|     |- ForgeUnreachable    no answer, a lost one, or a server error
|     |- ForgeBusy           a rate limit: later, and the attempt does not count
|     `- ForgeUnauthorized   the credential was refused, or may not do this
`- (BaseException) AttemptStopped   control flow of an attempt, not to be swallowed
   |- LeaseLost           another attempt holds the task, or time ran out
   |- Parked              the task waits for a decision
   `- Released            the worker is stopping; the task goes back unburned
"""

from __future__ import annotations

from typing import ClassVar


class JuggernautError(Exception):
    """Something that Juggernaut can name: `code` goes to execution_logs."""

    code: ClassVar[str] = "juggernaut"
    retryable: ClassVar[bool] = False


class ConfigError(JuggernautError):
    """A setting or an argument is missing or wrong; the message names it and the remedy."""

    code = "config"


class DatabaseUnreachable(JuggernautError):
    """PostgreSQL gave no answer."""

    code = "database_unreachable"
    retryable = True


class SchemaDrift(JuggernautError):
    """The schema differs from what this program's migrations make."""

    code = "schema_drift"


class InvalidInput(JuggernautError):
    """A value from outside was refused; nothing was written."""

    code = "invalid_input"


class LawRefused(JuggernautError):
    """PostgreSQL refused a write; the message is the database's own."""

    code = "law_refused"


class InvariantBroken(JuggernautError):
    """A promise of our own code does not hold."""

    code = "invariant_broken"


class AttemptError(JuggernautError):
    """An attempt could not do its work."""

    code = "attempt_failed"
    retryable = True


class ModelError(AttemptError):
    """A language model call failed."""

    code = "model_error"


class ModelUnavailable(ModelError):
    """Rate limit, overload, server error, time-out or a lost connection.

    `retry_after_seconds` is the provider's own wish, if it said one. `maybe_billed`: the request
    got there and no answer came back whole, so it may have been charged for.
    """

    code = "model_unavailable"

    def __init__(
        self,
        *args: object,
        retry_after_seconds: float | None = None,
        maybe_billed: bool = False,
    ) -> None:
        """Keep the message, and what the purse and the next try have to know."""
        super().__init__(*args)
        self.retry_after_seconds = retry_after_seconds
        self.maybe_billed = maybe_billed


class ModelsBusy(ModelUnavailable):
    """No model that may answer can, and nothing was billed: the attempt is given back.

    `retry_after_seconds` is when one may be asked again.
    """

    code = "models_busy"

    def __init__(self, *args: object, retry_after_seconds: float) -> None:
        """Keep the message, and how long to wait."""
        super().__init__(*args, retry_after_seconds=retry_after_seconds)


class ModelRefused(ModelError):
    """The provider refused the request (400, 401, 403, 404): repeating it cannot help."""

    code = "model_refused"
    retryable = False


class ModelGarbled(ModelError):
    """A reply without a finish reason, cut off, or not in the agreed form."""

    code = "model_garbled"


class UnknownPrice(ModelError):
    """The model has no known price and no ceiling is configured."""

    code = "unknown_price"
    retryable = False


class BudgetExhausted(AttemptError):
    """The purse cannot cover the next call; the task is parked until a person raises it."""

    code = "budget_exhausted"


class AgentFailed(AttemptError):
    """The code agent ended without a usable change."""

    code = "agent_failed"


class TooBig(AttemptError):
    """The change is larger than one pull request may be: the task has to be split."""

    code = "too_big"
    retryable = False


class CriteriaUnmet(AttemptError):
    """At least one acceptance criterion was found unmet."""

    code = "criteria_unmet"


class CommandFailed(AttemptError):
    """A command that had to succeed did not."""

    code = "command_failed"


class CommandTimeout(AttemptError):
    """A command ran into its time limit; its process group was killed."""

    code = "command_timeout"


class ForgeError(AttemptError):
    """The forge refused, or could not be reached."""

    code = "forge_error"


class PullConflict(ForgeError):
    """The change does not apply to the base any more."""

    code = "pull_conflict"


class HeadMoved(ForgeError):
    """The head of the branch is not the commit that was expected."""

    code = "head_moved"


class NotQueued(ForgeError):
    """The forge merges only through its merge queue, which does not take the change as it is."""

    code = "not_queued"


class NothingToMerge(ForgeError):
    """There are no commits between head and base."""

    code = "nothing_to_merge"


class PullClosed(ForgeError):
    """A person closed the pull request without merging it: that is an answer."""

    code = "pull_closed"
    retryable = False


class ForgeUnreachable(ForgeError):
    """The forge gave no answer, lost it, or failed itself: nobody knows whether it acted.

    Who repeats has to look the effect up first.
    """

    code = "forge_unreachable"


class ForgeBusy(ForgeError):
    """The forge asks to wait; nothing was done. The attempt is given back and does not count."""

    code = "forge_busy"

    def __init__(self, *args: object, retry_after_seconds: float) -> None:
        """Keep the message, and how long the forge wants to be left alone."""
        super().__init__(*args)
        self.retry_after_seconds = retry_after_seconds


class ForgeUnauthorized(ForgeError):
    """The forge refused the credential, or it may not do this: only a person can help."""

    code = "forge_unauthorized"
    retryable = False


class AttemptStopped(BaseException):
    """Ends an attempt from within; a BaseException so that no handler swallows it."""

    code: ClassVar[str] = "stopped"


class LeaseLost(AttemptStopped):
    """Another attempt holds the task now, or it was cancelled."""

    code = "lease_lost"


class Parked(AttemptStopped):
    """The task waits for a decision and holds no worker."""

    code = "parked"


class Released(AttemptStopped):
    """The worker is stopping; the task goes back to the queue unburned."""

    code = "released"
