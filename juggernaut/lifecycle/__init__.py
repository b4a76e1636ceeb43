"""The life of a task, one verb a file.

Read them in this order:

decompose   a goal becomes a checked graph of tasks
claim       a worker takes a task, with a lease on it
attempt     what one attempt has in its hands: services, task, lease
execute     one attempt from its first line to its last word
keep        the lease is watched while the attempt works
gate        the plan, and later the diff, pass a decision
budget      every model call is paid for before it is made
effect      a change in the outside world happens once
draft       what an attempt pushed to the branch of its task
change      a draft on the task's branch, its pull request, its merge
quality     a linter looks at the draft, and the agent mends what it finds
verify      the verifier runs every check at the exact commit
waits       a pull request that waits at the forge holds no worker
pull_life   checks, reviews, conflicts, the turn to merge: what an open pull request goes through
watch       waiting pull requests are looked at, and their tasks come back
gather      sources are found in a checkout
describe    the pull request says what and why, its proof, risk and cost
learn       what the facts of the work teach
complete    the last word: completed, failed, retry, parked or released
sweep       what a watchdog does again and again
settle      merges that others report are looked up at the forge
schedule    tasks that come back by the clock
"""
