-- A fork: a new task that goes along the recorded first steps of another one, and then its own way.
SET LOCAL ROLE juggernaut_owner;

-- What fork_task wrote. It names tasks and does not refer to them, so that a finished task can move
-- to an archive. Nobody else writes here, so a payload that says fork was made by fork_task.
CREATE TABLE juggernaut.forks (
  task_id uuid PRIMARY KEY,
  origin_id uuid NOT NULL,
  facts jsonb NOT NULL,
  made_by text NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE juggernaut.forks IS 'tasks that go along the recorded first steps of another task';
CREATE INDEX forks_of ON juggernaut.forks (origin_id);
GRANT SELECT ON juggernaut.forks TO juggernaut_worker, juggernaut_approver, juggernaut_reader;

CREATE FUNCTION juggernaut.guard_fork() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NEW.payload -> 'fork' IS DISTINCT FROM (SELECT f.facts FROM juggernaut.forks f WHERE f.task_id = NEW.id) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s: a payload does not make a fork', NEW.id), 'SELECT fork_task(id, from_step, model)');
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_fork BEFORE INSERT OR UPDATE OF payload ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.payload ? 'fork') EXECUTE FUNCTION juggernaut.guard_fork();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_fork;

-- Steps before from_step come from the cassette, from_step is the first that a model is asked.
-- cassette: the file's name in the workers' folder (default: the one of the newest attempt); digest:
-- the sha256 of its bytes; model: an alias of models.yaml or provider/model (default: as configured).
-- The fork inherits repository, criteria, risk, taint and limits. It has no goal of its own, draws
-- from the purses of the task that it came from, and is approved like any other task.
CREATE FUNCTION public.fork_task(id uuid, from_step integer, model text DEFAULT NULL, cassette text DEFAULT NULL, digest text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o public.governance_tasks;
  v_id uuid := gen_random_uuid();
  v_cassette text := fork_task.cassette;
  v_facts jsonb;
BEGIN
  PERFORM juggernaut.person_only('fork a task');
  PERFORM juggernaut.known_task(fork_task.id);
  SELECT * INTO o FROM public.governance_tasks g WHERE g.id = fork_task.id;
  IF o.task_type NOT IN ('code', 'documentation') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is of type %s: only the work of the code agent is forked', o.id, o.task_type), 'add a task of its own');
  END IF;
  IF fork_task.from_step IS NULL OR fork_task.from_step NOT BETWEEN 1 AND 10000 THEN
    PERFORM juggernaut.refuse('JG001', format('from_step is %s, and may be 1 to 10000', coalesce(fork_task.from_step::text, 'not given')));
  END IF;
  IF fork_task.model !~ '^[!-~]{1,200}$' THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no name of a model', left(fork_task.model, 80)), 'an alias of models.yaml, or provider/model');
  END IF;
  IF fork_task.digest !~ '^[0-9a-f]{64}$' THEN
    PERFORM juggernaut.refuse('JG001', 'the digest of a cassette is a sha256 in hex');
  END IF;
  IF v_cassette IS NULL THEN
    SELECT o.id || '-' || max(a.fence) || '.jsonl' INTO v_cassette FROM juggernaut.attempts a WHERE a.task_id = o.id;
  END IF;
  IF v_cassette IS NULL OR v_cassette !~ ('^' || o.id || '-[0-9]{1,18}\.jsonl$') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no cassette %s', o.id, coalesce(quote_literal(left(v_cassette, 80)), '(it was never tried)')),
                              'a cassette is called TASK-FENCE.jsonl');
  END IF;
  v_facts := jsonb_build_object('of', o.id, 'from_step', fork_task.from_step, 'cassette', v_cassette, 'digest', fork_task.digest, 'model', fork_task.model);
  INSERT INTO juggernaut.forks (task_id, origin_id, facts, made_by) VALUES (v_id, o.id, v_facts, juggernaut.acting());
  INSERT INTO public.governance_tasks (id, parent_task_id, title, description, task_type, priority, risk_level, acceptance_criteria, assigned_worker,
                                       requires_approval, approval_reason, max_attempts, timeout_seconds, budget_usd, payload, concurrency_key, repo, tainted)
    VALUES (v_id, o.id, o.title, o.description, o.task_type, o.priority, o.risk_level, o.acceptance_criteria, o.assignment,
            o.requires_approval, CASE WHEN o.requires_approval THEN left('as its origin: ' || coalesce(o.approval_reason, 'an approval is required'), 4000) END,
            o.max_attempts, o.timeout_seconds, o.budget_usd, o.payload || jsonb_build_object('fork', v_facts), o.concurrency_key, o.repo, o.tainted);
  PERFORM juggernaut.record_event('task.forked', v_id::text, NULL, v_facts);
  RETURN v_id;
END
$$;
GRANT EXECUTE ON FUNCTION public.fork_task(uuid, integer, text, text, text) TO juggernaut_approver;
