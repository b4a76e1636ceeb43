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
change      a draft on the task's branch, its pull request, its merge
verify      the verifier runs every check at the exact commit
gather      sources are found in a checkout
learn       what the facts of the work teach
complete    the last word: completed, failed, retry, parked or released
sweep       what a watchdog does again and again
settle      merges that others report are looked up at the forge
schedule    tasks that come back by the clock
"""
