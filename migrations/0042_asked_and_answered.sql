-- What counts was done for the text as it stands: an edit ends the waiting for a merge of the old one,
-- and what people wrote, declared and said goes along to a fork and to another plan of the goal.
SET LOCAL ROLE juggernaut_owner;

-- Why a reported merge counts no more, and who has the next step.
CREATE FUNCTION juggernaut.reworded_reason() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT format('merged for an earlier text: a merge was reported before %s changed the task', session_user) $$;
REVOKE ALL ON FUNCTION juggernaut.reworded_reason() FROM PUBLIC;

CREATE FUNCTION juggernaut.reworded_owner(p_task uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT format('a person: SELECT cancel_task(%L, ''merged for an earlier text''), and add what is left as a task; or write its words back as they were, then SELECT retry_task(%L), and the merge is verified; or SELECT retry_task(%L), if nothing was merged', p_task, p_task, p_task)
$$;
REVOKE ALL ON FUNCTION juggernaut.reworded_owner(uuid) FROM PUBLIC;

-- Which text a merge was reported for: with these words again, the report counts again.
CREATE TABLE juggernaut.reported_texts (
  task_id uuid PRIMARY KEY REFERENCES public.governance_tasks,
  words text NOT NULL
);
COMMENT ON TABLE juggernaut.reported_texts IS 'digests of the texts that merges were reported for, while the tasks say something else';
CREATE TRIGGER fresh_snapshot BEFORE INSERT OR DELETE OR UPDATE ON juggernaut.reported_texts FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.fresh_snapshot();
ALTER TABLE juggernaut.reported_texts ENABLE ALWAYS TRIGGER fresh_snapshot;

CREATE FUNCTION juggernaut.words_of(t public.governance_tasks) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT encode(sha256(convert_to(jsonb_build_array(t.title, t.description, t.task_type, t.acceptance_criteria, t.payload - 'feedback', t.repo)::text, 'UTF8')), 'hex')
$$;
REVOKE ALL ON FUNCTION juggernaut.words_of(public.governance_tasks) FROM PUBLIC;

-- Drafts of before tell no text: they count where no edit is newer. So the newest edit of each login is kept
-- from now on, and the events know those of before.
COMMENT ON COLUMN juggernaut.editors.edited_at IS 'the newest edit of this login';
UPDATE juggernaut.editors e SET edited_at = x.at
  FROM (SELECT v.subject, v.login, max(v.at) AS at FROM juggernaut.events v
         WHERE v.kind = 'governance_tasks.update' AND v.after ?| '{title,description,task_type,acceptance_criteria,payload,repo}' GROUP BY 1, 2) x,
       public.governance_tasks t
 WHERE t.id = e.task_id AND t.status NOT IN ('completed', 'rejected', 'cancelled')
   AND x.subject = e.task_id::text AND x.login = e.login AND x.at > e.edited_at;

-- As before, and an edit wakes what waits at a forge, for the new text; a merge that was reported for the
-- old one proves nothing, and a person has the next step. What send_back adds is no other text.
CREATE OR REPLACE FUNCTION juggernaut.guard_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  kind text;
  floor text;
  reported boolean := OLD.confirm_pull;
  rest public.governance_tasks;
  certified boolean := NEW.fence <> OLD.fence OR NEW.waits <> OLD.waits
                       OR (OLD.lease_login IS NOT NULL AND NEW.lease_login IS NULL);
  content boolean := (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.payload, NEW.repo)
                     IS DISTINCT FROM (OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.payload, OLD.repo);
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  IF NEW.id <> OLD.id OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at OR NEW.fence < OLD.fence
     OR NEW.depends_on <> OLD.depends_on THEN
    PERFORM juggernaut.refuse('JG001', 'id, created_by, created_at and depends_on never change, and a fence only grows');
  END IF;
  IF OLD.status IN ('completed', 'rejected', 'cancelled') THEN
    rest := OLD;
    rest.waits := NEW.waits; -- its needs may still complete, and are counted
    rest.due_at := NEW.due_at; -- what became due is taken off the index, whatever became of the task
    IF NEW IS DISTINCT FROM rest THEN
      PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', OLD.id, OLD.status));
    END IF;
  ELSIF OLD.status = 'failed' AND NEW.status = 'failed'
        AND (NEW.error_message, NEW.completion_evidence, NEW.result, NEW.attempts, NEW.started_at, NEW.completed_at, NEW.run_after)
            IS DISTINCT FROM (OLD.error_message, OLD.completion_evidence, OLD.result, OLD.attempts, OLD.started_at, OLD.completed_at, OLD.run_after) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is failed, and how it ended does not change', OLD.id), 'SELECT retry_task(id)');
  END IF;
  IF juggernaut.content_fault(NEW) IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', juggernaut.content_fault(NEW));
  END IF;
  IF NEW.max_attempts < OLD.max_attempts AND NEW.max_attempts < OLD.attempts THEN
    PERFORM juggernaut.refuse('JG001', format('task %s was tried %s times already: max_attempts cannot be below that', OLD.id, OLD.attempts));
  END IF;
  IF NEW.task_type <> OLD.task_type THEN
    SELECT y.risk_floor INTO floor FROM juggernaut.task_types y WHERE y.task_type = NEW.task_type;
    IF floor IS NULL THEN
      PERFORM juggernaut.refuse('JG001', format('unknown task_type %L', NEW.task_type), 'SELECT task_type FROM juggernaut.task_types');
    END IF;
    NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, floor);
  END IF;
  IF NEW.priority <> OLD.priority THEN
    NEW.priority := juggernaut.normal_priority(NEW.priority);
  END IF;
  NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, OLD.risk_level);
  kind := juggernaut.acting_kind();
  IF kind = 'worker' AND NOT certified AND NEW.status = OLD.status AND NEW IS DISTINCT FROM OLD
     AND (OLD.lease_login IS DISTINCT FROM juggernaut.acting() OR OLD.lease_hash IS NOT NULL)
     AND (NEW.assigned_worker, NEW.requires_approval, NEW.approval_reason, NEW.error_message, NEW.completion_evidence, NEW.completed_at, NEW.started_at, NEW.approved_by)
         IS DISTINCT FROM (OLD.assigned_worker, OLD.requires_approval, OLD.approval_reason, OLD.error_message, OLD.completion_evidence, OLD.completed_at, OLD.started_at, OLD.approved_by) THEN
    PERFORM juggernaut.refuse('JG003', format('%s does not hold task %s', juggernaut.acting(), OLD.id));
  END IF;
  IF kind IN ('approver', 'operator') AND NOT certified AND NEW IS DISTINCT FROM OLD THEN
    PERFORM juggernaut.audit_hand(OLD, NEW);
  END IF;
  IF NEW.status <> OLD.status THEN
    NEW := juggernaut.guard_move(OLD, NEW, kind, certified);
    IF NEW.status = 'pending' AND OLD.status IN ('blocked', 'failed') THEN
      DELETE FROM juggernaut.reported_texts r WHERE r.task_id = OLD.id AND r.words = juggernaut.words_of(NEW);
      NEW.confirm_pull := NEW.confirm_pull OR FOUND;
    END IF;
  END IF;
  IF content AND OLD.status NOT IN ('in_progress') THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
     WHERE task_id = OLD.id AND status IN ('pending', 'approved');
    IF OLD.status = 'waiting_approval' AND NEW.status = 'waiting_approval' THEN
      NEW.status := 'pending'; -- what was asked for is gone: plan again, ask again
    END IF;
    NEW.approved_by := NULL;
    NEW.approved_at := NULL;
    IF OLD.status = 'awaiting_merge' AND NEW.status = 'awaiting_merge' THEN
      UPDATE juggernaut.pull_watches SET waiting = false WHERE task_id = OLD.id AND waiting;
      reported := NOT FOUND; -- what nobody watches was reported, and the report is of the text of before
      NEW.status := 'pending';
      NEW.fence := OLD.fence + 1;
      NEW.run_after := NULL;
      NEW.evidence_id := NULL;
    END IF;
    IF reported AND (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.payload - 'feedback', NEW.repo)
                    IS DISTINCT FROM (OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.payload - 'feedback', OLD.repo) THEN
      NEW.confirm_pull := false;
      IF NEW.status = 'pending' THEN
        NEW.status := 'blocked';
        NEW.blocked_at := clock_timestamp();
        NEW.blocked_reason := juggernaut.reworded_reason();
        NEW.blocked_owner := juggernaut.reworded_owner(OLD.id);
      END IF;
    END IF;
  END IF;
  IF NEW.status = OLD.status AND OLD.status <> 'in_progress' AND NEW.assigned_worker IS DISTINCT FROM OLD.assigned_worker THEN
    NEW.assignment := NEW.assigned_worker;
  END IF;
  IF NEW.status = 'pending' OR OLD.ready THEN
    NEW := juggernaut.place(NEW, OLD.ready AND NEW.priority = OLD.priority);
  END IF;
  IF NEW.status = 'blocked' AND (NEW.blocked_reason IS NULL OR NEW.blocked_owner IS NULL OR NEW.blocked_at IS NULL) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s may be blocked only with a reason, an owner and a time', NEW.id));
  END IF;
  IF NEW.status = 'failed' AND coalesce(btrim(NEW.error_message), '') = '' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s may fail only with a reason in error_message', NEW.id));
  END IF;
  RETURN NEW;
END
$$;

-- As before, and the same for an attempt that verifies a reported merge; what was reported is kept.
CREATE OR REPLACE FUNCTION juggernaut.after_edit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  INSERT INTO juggernaut.editors (task_id, login) VALUES (NEW.id, session_user)
    ON CONFLICT (task_id, login) DO UPDATE SET edited_at = excluded.edited_at;
  IF OLD.confirm_pull OR (OLD.status = 'awaiting_merge' AND NEW.status = 'blocked') THEN
    INSERT INTO juggernaut.reported_texts (task_id, words) VALUES (OLD.id, juggernaut.words_of(OLD))
      ON CONFLICT (task_id) DO UPDATE SET words = excluded.words;
  END IF;
  UPDATE juggernaut.criteria SET accepted_by = NULL, accepted_note = NULL WHERE task_id = NEW.id AND accepted_by IS NOT NULL;
  IF OLD.status = 'in_progress' AND NEW.status = 'in_progress' THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
     WHERE task_id = NEW.id AND status IN ('pending', 'approved');
    PERFORM juggernaut.end_attempt(NEW.id, NEW.fence, 'released', 'changed', format('%s changed the task while it was worked on', session_user));
    UPDATE public.governance_tasks g SET status = CASE WHEN g.confirm_pull THEN 'blocked' ELSE 'pending' END, fence = g.fence + 1, attempts = greatest(g.attempts - 1, 0), run_after = NULL,
           assigned_worker = g.assignment, approved_by = NULL, approved_at = NULL,
           session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL, confirm_pull = false,
           blocked_at = CASE WHEN g.confirm_pull THEN clock_timestamp() END,
           blocked_reason = CASE WHEN g.confirm_pull THEN juggernaut.reworded_reason() END,
           blocked_owner = CASE WHEN g.confirm_pull THEN juggernaut.reworded_owner(g.id) END
     WHERE g.id = NEW.id;
  END IF;
  RETURN NULL;
END
$$;

-- Whoever wrote or changed a task wrote what is made of it, too.
CREATE FUNCTION juggernaut.inherit_authors(t public.governance_tasks, p_heir uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  INSERT INTO juggernaut.editors (task_id, login)
    SELECT p_heir, t.created_by UNION SELECT p_heir, e.login FROM juggernaut.editors e WHERE e.task_id = t.id
    ON CONFLICT DO NOTHING
$$;
REVOKE ALL ON FUNCTION juggernaut.inherit_authors(public.governance_tasks, uuid) FROM PUBLIC;

-- As before, and with the authors of its origin, what that was told, and what it still needs.
CREATE OR REPLACE FUNCTION public.fork_task(id uuid, from_step integer, model text DEFAULT NULL, cassette text DEFAULT NULL, digest text DEFAULT NULL) RETURNS uuid
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
  -- Locked: a goal that is being cancelled at this moment would not see its fork.
  IF (SELECT g.status FROM public.goals g WHERE g.id = o.goal_id FOR SHARE) = 'cancelled' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s: goal %s is cancelled', o.id, o.goal_id), 'add a task of its own');
  END IF;
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
  INSERT INTO juggernaut.sent_back (task_id, round, said, said_by, said_at)
    SELECT v_id, s.round, s.said, s.said_by, s.said_at FROM juggernaut.sent_back s WHERE s.task_id = o.id;
  INSERT INTO public.governance_tasks (id, goal_id, parent_task_id, title, description, task_type, priority, risk_level, acceptance_criteria, assigned_worker,
                                       requires_approval, approval_reason, max_attempts, timeout_seconds, budget_usd, payload, concurrency_key, repo, tainted, depends_on)
    VALUES (v_id, o.goal_id, o.id, o.title, o.description, o.task_type, o.priority, o.risk_level, o.acceptance_criteria, o.assignment,
            o.requires_approval, CASE WHEN o.requires_approval THEN left('as its origin: ' || coalesce(o.approval_reason, 'an approval is required'), 4000) END,
            o.max_attempts, o.timeout_seconds, o.budget_usd, o.payload || jsonb_build_object('fork', v_facts), o.concurrency_key, o.repo, o.tainted,
            ARRAY(SELECT d.needs_id FROM juggernaut.dependencies d WHERE d.task_id = o.id AND NOT d.met));
  PERFORM juggernaut.inherit_authors(o, v_id);
  PERFORM juggernaut.record_event('task.forked', v_id::text, NULL, v_facts);
  RETURN v_id;
END
$$;

-- Open forks of before keep what they were told, too.
INSERT INTO juggernaut.sent_back (task_id, round, said, said_by, said_at)
  SELECT f.task_id, s.round, s.said, s.said_by, s.said_at
    FROM juggernaut.forks f JOIN juggernaut.sent_back s ON s.task_id = f.origin_id
    JOIN public.governance_tasks t ON t.id = f.task_id AND t.status NOT IN ('completed', 'rejected', 'cancelled')
   WHERE NOT EXISTS (SELECT FROM juggernaut.sent_back own WHERE own.task_id = f.task_id)
     AND t.payload -> 'feedback' = (SELECT jsonb_agg(x.said ORDER BY x.round) FROM juggernaut.sent_back x WHERE x.task_id = f.origin_id);

-- As before; rounds are counted by what was said, since one plan can be asked for again and again.
CREATE OR REPLACE FUNCTION public.send_back(id uuid, feedback text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
  v_said text := left(btrim(coalesce(send_back.feedback, '')), 4000);
  v_rounds integer;
BEGIN
  PERFORM juggernaut.person_only('send a plan back');
  PERFORM juggernaut.known_task(send_back.id);
  IF v_said = '' THEN
    PERFORM juggernaut.refuse('JG001', 'sending back needs feedback: say what has to be different');
  END IF;
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = send_back.id FOR UPDATE;
  IF t.status <> 'waiting_approval' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s does not wait for an approval', t.id), 'SELECT * FROM pending_approvals');
  END IF;
  SELECT count(*) INTO v_rounds FROM juggernaut.sent_back s WHERE s.task_id = t.id AND s.said_at >= t.created_at; -- older ones it inherited
  IF v_rounds >= juggernaut.threshold('feedback_rounds') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s was sent back %s times already', t.id, v_rounds), 'approve_task, reject_task or cancel_task it');
  END IF;
  PERFORM juggernaut.decide(t.id, 'rejected', v_said);
  INSERT INTO juggernaut.sent_back (task_id, round, said, said_by)
    SELECT t.id, count(*) + 1, v_said, juggernaut.acting() FROM juggernaut.sent_back s WHERE s.task_id = t.id;
  UPDATE public.governance_tasks g
     SET status = 'pending', fence = g.fence + 1, approved_by = NULL, approved_at = NULL,
         error_message = format('sent back by %s: %s', juggernaut.acting(), v_said),
         payload = jsonb_set(g.payload, '{feedback}',
                             (SELECT jsonb_agg(s.said ORDER BY s.round) FROM juggernaut.sent_back s WHERE s.task_id = t.id))
   WHERE g.id = t.id;
  PERFORM juggernaut.record_event('task.sent_back', t.id::text, NULL, jsonb_build_object('feedback', v_said, 'round', v_rounds + 1));
  RETURN format('sent back, round %s of %s', v_rounds + 1, juggernaut.threshold('feedback_rounds'));
END
$$;

-- The plan of a goal. Another one is what people made of the plan before: its words, risk and bounds.
DROP FUNCTION juggernaut.plan_goal(public.goals, jsonb);
CREATE FUNCTION juggernaut.plan_goal(g public.goals, p_payload jsonb, p_before public.governance_tasks DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  o public.governance_tasks := p_before;
  v_id uuid := gen_random_uuid();
BEGIN
  IF o.id IS NULL THEN
    INSERT INTO public.governance_tasks (id, goal_id, title, description, task_type, priority, repo, payload)
      VALUES (v_id, g.id, left('Plan: ' || g.title, 300), g.description, 'planning', 'high', g.repo, p_payload);
    RETURN v_id;
  END IF;
  INSERT INTO juggernaut.sent_back (task_id, round, said, said_by, said_at)
    SELECT v_id, s.round, s.said, s.said_by, s.said_at FROM juggernaut.sent_back s WHERE s.task_id = o.id;
  INSERT INTO public.governance_tasks (id, goal_id, title, description, task_type, priority, risk_level, acceptance_criteria, assigned_worker,
                                       requires_approval, approval_reason, max_attempts, timeout_seconds, budget_usd, payload, concurrency_key, repo, tainted)
    VALUES (v_id, g.id, o.title, o.description, 'planning', o.priority, o.risk_level, o.acceptance_criteria, o.assignment,
            o.requires_approval, CASE WHEN o.requires_approval THEN o.approval_reason END,
            o.max_attempts, o.timeout_seconds, o.budget_usd, o.payload || p_payload, o.concurrency_key, o.repo, o.tainted);
  PERFORM juggernaut.inherit_authors(o, v_id);
  RETURN v_id;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.plan_goal(public.goals, jsonb, public.governance_tasks) FROM PUBLIC;

-- As before, and another plan goes on from the one that failed.
CREATE OR REPLACE FUNCTION juggernaut.settle_goals_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  g public.goals;
  p public.governance_tasks;
  k record;
  why_failed text;
  n_completed integer := 0; n_failed integer := 0; n_replanned integer := 0;
BEGIN
  IF NOT juggernaut.alone('goals') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  FOR g IN SELECT * FROM public.goals x WHERE x.status = 'active' ORDER BY x.created_at LIMIT 200 FOR UPDATE SKIP LOCKED LOOP
    SELECT * INTO p FROM public.governance_tasks t WHERE t.goal_id = g.id AND t.task_type = 'planning' ORDER BY t.created_at DESC, t.id LIMIT 1;
    CONTINUE WHEN p.id IS NULL OR p.status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
    SELECT count(*) AS tasks, count(*) FILTER (WHERE t.status = 'completed') AS done,
           count(*) FILTER (WHERE t.status IN ('failed', 'rejected')) AS bad,
           count(*) FILTER (WHERE t.status IN ('pending', 'in_progress', 'waiting_approval', 'awaiting_merge')
                               OR (t.status = 'blocked' AND t.waits = 0)) AS moving,
           string_agg(format('%s "%s": %s', t.status, t.title, left(t.error_message, 300)), '; ') FILTER (WHERE t.status IN ('failed', 'rejected')) AS errors
      INTO k FROM public.governance_tasks t WHERE t.goal_id = g.id AND t.parent_task_id = p.id;
    IF p.status = 'completed' AND k.tasks > 0 AND k.done = k.tasks THEN
      UPDATE public.goals SET status = 'completed', completed_at = clock_timestamp(),
             outcome = jsonb_build_object('proof', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('task_id', t.id, 'title', t.title,
               'evidence_id', t.evidence_id, 'merged_sha', e.facts ->> 'merged_sha')) ORDER BY t.completed_at)
                FROM public.governance_tasks t JOIN juggernaut.evidence e ON e.id = t.evidence_id WHERE t.parent_task_id = p.id))
       WHERE id = g.id;
      n_completed := n_completed + 1;
    ELSIF p.status <> 'completed' OR k.tasks = 0 OR (k.moving = 0 AND k.done < k.tasks) THEN
      why_failed := coalesce(k.errors, CASE WHEN p.status = 'completed' AND k.tasks = 0 THEN 'the plan has no tasks' END,
                             format('%s: %s', p.status, p.error_message), 'tasks were cancelled');
      UPDATE public.governance_tasks SET status = 'cancelled', fence = fence + 1, error_message = 'the goal goes on without it: ' || left(why_failed, 1000)
       WHERE goal_id = g.id AND status IN ('blocked', 'waiting');
      IF p.status = 'completed' AND (k.bad > 0 OR k.tasks = 0) AND g.replans < juggernaut.threshold('goal_replans') THEN
        UPDATE public.goals SET replans = replans + 1 WHERE id = g.id;
        PERFORM juggernaut.plan_goal(g, jsonb_build_object('replan', true, 'why', left(why_failed, 2000)), p);
        n_replanned := n_replanned + 1;
      ELSE
        UPDATE public.goals SET status = 'failed', completed_at = clock_timestamp(), outcome = jsonb_build_object('reason', left(why_failed, 4000)) WHERE id = g.id;
        PERFORM juggernaut.raise_alert('goal_failed', g.id::text, 'error', format('goal "%s" failed', g.title), jsonb_build_object('goal_id', g.id, 'reason', left(why_failed, 1000)));
        n_failed := n_failed + 1;
      END IF;
    END IF;
  END LOOP;
  RETURN jsonb_build_object('completed', n_completed, 'failed', n_failed, 'replanned', n_replanned);
END
$$;
