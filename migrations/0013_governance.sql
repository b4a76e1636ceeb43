-- Governance: reported merges are confirmed, plans are sent back with feedback, the policy is data,
-- and every change that a person makes is an event of the audit chain.
SET LOCAL ROLE juggernaut_owner;

-- A merge that a plain-SQL worker reports is a claim. It waits without a worker; when the forge
-- shows an end of its pull request, the task goes back to the queue, and an ordinary attempt of
-- the daemon verifies what was merged. No login can complete it in another way.
INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('merge_confirm_seconds', 3600, 'seconds', 'a reported merge that the forge does not show is blocked after this'),
  ('feedback_rounds', 3, 'rounds', 'a task is sent back with feedback at most so often');
INSERT INTO juggernaut.transitions VALUES ('awaiting_merge', 'blocked');

ALTER TABLE public.governance_tasks ADD COLUMN confirm_pull boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN public.governance_tasks.confirm_pull IS 'the next attempt verifies the pull request that a plain-SQL worker reported, and writes none';

CREATE OR REPLACE FUNCTION juggernaut.guard_move(old public.governance_tasks, new public.governance_tasks, kind text, certified boolean)
RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  answer text;
  need record;
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.transitions WHERE old_status = old.status AND new_status = new.status) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s cannot go from %s to %s', old.id, old.status, new.status));
  END IF;
  IF old.status = 'waiting_approval' AND new.status IN ('pending', 'rejected') AND NOT certified THEN
    answer := juggernaut.decide(old.id, CASE new.status WHEN 'rejected' THEN 'rejected' ELSE 'approved' END,
                                CASE new.status WHEN 'rejected' THEN new.error_message ELSE new.approved_by END);
    IF answer = 'more' THEN
      new.status := old.status;
      RAISE NOTICE 'approved by %, one more person has to approve', juggernaut.acting();
    ELSE
      new.approved_by := juggernaut.acting();
      new.approved_at := clock_timestamp();
      new.completed_at := CASE WHEN answer = 'rejected' THEN clock_timestamp() END;
      new.error_message := CASE WHEN answer = 'rejected' THEN coalesce(new.error_message, 'rejected by ' || juggernaut.acting()) END;
    END IF;
    RETURN new;
  END IF;
  IF kind = 'worker' AND NOT certified THEN
    IF old.status = 'pending' AND new.status = 'in_progress' THEN
      IF old.confirm_pull THEN
        PERFORM juggernaut.refuse('JG001', format('task %s waits for the verifier: its pull request is merged or closed', old.id));
      END IF;
      RETURN juggernaut.raw_claim(old, new);
    ELSIF old.status = 'in_progress' AND new.status IN ('completed', 'failed', 'waiting_approval', 'pending') THEN
      RETURN juggernaut.raw_finish(old, new);
    END IF;
    PERFORM juggernaut.refuse('JG001', format('a worker may not move task %s from %s to %s', old.id, old.status, new.status));
  END IF;
  IF NOT certified AND (old.status = 'in_progress' OR new.status IN ('in_progress', 'completed', 'waiting', 'waiting_approval', 'awaiting_merge')) THEN
    IF new.status <> 'cancelled' THEN
      PERFORM juggernaut.refuse('JG001', format('a move from %s to %s is made by the worker that holds the task', old.status, new.status),
                                'a person may approve, reject, retry (failed -> pending), unblock (blocked -> pending) or cancel');
    END IF;
  END IF;
  IF new.status = 'cancelled' THEN
    UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = 'cancelled' WHERE task_id = old.id AND ended_at IS NULL;
    new.fence := old.fence + 1; -- whoever works on it now holds nothing any more
    new.session_id := NULL; new.lease_login := NULL; new.lease_hash := NULL; new.lease_until := NULL;
  END IF;
  IF old.status = 'awaiting_merge' AND new.status <> 'completed' THEN
    new.evidence_id := NULL; -- what was reported stays in juggernaut.evidence; it proves nothing any more
  END IF;
  IF old.status = 'failed' AND new.status = 'pending' THEN
    new.attempts := 0; new.run_after := NULL; new.completed_at := NULL;
    IF new.waits > 0 THEN
      SELECT n.id, n.status INTO need FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id
       WHERE d.task_id = old.id AND NOT d.met AND n.status IN ('failed', 'rejected', 'cancelled') LIMIT 1;
      IF need.id IS NOT NULL THEN
        PERFORM juggernaut.refuse('JG001', format('task %s needs task %s, which is %s', old.id, need.id, need.status), 'retry that one first');
      END IF;
      new.status := 'waiting';
    END IF;
  END IF;
  IF old.status = 'blocked' THEN
    new.blocked_reason := NULL; new.blocked_owner := NULL; new.blocked_at := NULL;
    new.status := CASE WHEN new.status = 'pending' AND new.waits > 0 THEN 'waiting' ELSE new.status END;
  END IF;
  IF new.status IN ('cancelled', 'failed', 'rejected') THEN
    new.completed_at := coalesce(new.completed_at, clock_timestamp());
  END IF;
  IF new.status = 'completed' AND EXISTS (
       SELECT FROM juggernaut.criteria c LEFT JOIN juggernaut.verdicts v
         ON v.task_id = c.task_id AND v.number = c.number AND v.fence = new.fence
        WHERE c.task_id = new.id AND v.verdict IS DISTINCT FROM 'met') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has a criterion without the verdict "met"', new.id));
  END IF;
  RETURN new;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.why_row(t public.governance_tasks) RETURNS TABLE (reason text, owner text, deadline timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
BEGIN
  IF t.status IN ('completed', 'failed', 'rejected', 'cancelled') THEN
    RETURN QUERY SELECT t.status || coalesce(': ' || t.error_message, ''), 'nobody'::text, NULL::timestamptz;
  ELSIF t.status = 'waiting_approval' THEN
    SELECT * INTO a FROM public.approvals x WHERE x.task_id = t.id AND x.status = 'pending';
    RETURN QUERY SELECT format('waits for %s approval(s) of its %s, digest %s: %s', a.need, a.gate, left(a.digest, 12), a.reason),
      'an approver'::text, a.requested_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'blocked' THEN
    RETURN QUERY SELECT t.blocked_reason, t.blocked_owner, t.blocked_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'waiting' THEN
    RETURN QUERY SELECT 'needs ' || string_agg(format('%s "%s" (%s)', n.id, left(n.title, 60), n.status), ', ' ORDER BY n.created_at, n.id),
      'the tasks it needs'::text, t.deadline
      FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id WHERE d.task_id = t.id AND NOT d.met;
  ELSIF t.status = 'in_progress' THEN
    RETURN QUERY SELECT format('in progress with %s since %s', t.assigned_worker, to_char(t.started_at, 'HH24:MI:SS')), t.assigned_worker, t.lease_until;
  ELSIF t.status = 'awaiting_merge' THEN
    RETURN QUERY SELECT format('%s reported a merge; the forge has not confirmed it yet', coalesce(t.assigned_worker, 'a worker')),
      'the swarm: an executor asks the forge'::text,
      coalesce((SELECT x.ended_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence), t.started_at)
        + juggernaut.seconds('merge_confirm_seconds');
  ELSIF EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id)) THEN
    RETURN QUERY SELECT format('paused (%s) by %s: %s', c.scope, c.paused_by, c.reason), 'a person: resume_swarm'::text, NULL::timestamptz
      FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id) LIMIT 1;
  ELSIF t.due_at > clock_timestamp() THEN
    RETURN QUERY SELECT format('not before %s (attempt %s of %s%s)', to_char(t.due_at, 'HH24:MI:SS'), t.attempts + 1, t.max_attempts,
      coalesce(', after: ' || left(t.error_message, 200), '')), 'the swarm'::text, t.due_at;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.task_type = t.task_type) THEN
    RETURN QUERY SELECT format('no role is granted task type %s', t.task_type), 'an operator: grant_capability'::text, NULL::timestamptz;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)) THEN
    RETURN QUERY SELECT format('no live worker%s is granted task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one'::text, NULL::timestamptz;
  ELSIF t.concurrency_key IS NOT NULL AND EXISTS (
      SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL) THEN
    RETURN QUERY SELECT format('another task with concurrency_key %s is in progress', t.concurrency_key), 'that task'::text, NULL::timestamptz;
  ELSE
    RETURN QUERY SELECT 'ready: waits for a free worker', 'the swarm'::text, t.deadline;
  END IF;
END
$$;

CREATE FUNCTION juggernaut.awaiting_merge_v1() RETURNS TABLE (id uuid, fence bigint, repo text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT t.id, t.fence, t.repo FROM public.governance_tasks t
   WHERE t.status = 'awaiting_merge' ORDER BY t.created_at, t.id LIMIT 100
$$;

-- What the forge says of a reported merge. `merged` and `closed` only bring the task back to the
-- queue: what it is worth is found by the attempt that follows, so a lie here gains nothing.
CREATE FUNCTION juggernaut.confirm_merge_v1(p_task uuid, p_fence bigint, p_state text, p_shown text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  v_reported timestamptz;
BEGIN
  IF p_state IS NULL OR p_state NOT IN ('merged', 'closed', 'open', 'none') THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no state of a pull request', p_state), 'use merged, closed, open or none');
  END IF;
  SELECT * INTO t FROM public.governance_tasks g
   WHERE g.id = p_task AND g.fence = p_fence AND g.status = 'awaiting_merge' FOR NO KEY UPDATE;
  IF t.id IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT coalesce(a.ended_at, t.started_at) INTO v_reported FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.fence = t.fence;
  IF p_state IN ('merged', 'closed') THEN
    UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1, confirm_pull = true, run_after = NULL,
           attempts = greatest(g.attempts - 1, 0), assigned_worker = NULL, assignment = NULL WHERE g.id = t.id;
    RETURN 'pending';
  ELSIF v_reported + juggernaut.seconds('merge_confirm_seconds') <= clock_timestamp() THEN
    UPDATE public.governance_tasks g SET status = 'blocked', fence = g.fence + 1, assigned_worker = g.assignment, blocked_at = clock_timestamp(),
           blocked_reason = left(format('%s reported a merge, but %s', t.assigned_worker, p_shown), 4000),
           blocked_owner = 'a person: look at the forge, then retry_task or cancel_task' WHERE g.id = t.id;
    RETURN 'blocked';
  END IF;
  RETURN t.status;
END
$$;

-- Who reported the merge that this attempt has to verify; nothing when it is ordinary work.
CREATE FUNCTION juggernaut.reported_merge_v1(p_task uuid, p_fence bigint, p_secret uuid)
RETURNS TABLE (worker text, login text, said text)
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT a.worker_id, a.login, coalesce(e.facts ->> 'self_reported', '')
    FROM juggernaut.held(p_task, p_fence, p_secret) t
    JOIN juggernaut.evidence e ON e.task_id = t.id AND e.source = 'self-reported'
    JOIN juggernaut.attempts a ON a.task_id = e.task_id AND a.fence = e.fence
   WHERE t.confirm_pull ORDER BY e.id DESC LIMIT 1
$$;

-- Rejects the open plan or diff, and lets the task be planned again with what the person said.
-- The feedback stands in the payload, which the digest of a plan covers: the same is not asked twice.
CREATE FUNCTION public.send_back(id uuid, feedback text) RETURNS text
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
  SELECT count(*) INTO v_rounds FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'rejected';
  IF v_rounds >= juggernaut.threshold('feedback_rounds') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s was sent back %s times already', t.id, v_rounds), 'approve_task, reject_task or cancel_task it');
  END IF;
  PERFORM juggernaut.decide(t.id, 'rejected', v_said);
  UPDATE public.governance_tasks g
     SET status = 'pending', fence = g.fence + 1, approved_by = NULL, approved_at = NULL,
         error_message = format('sent back by %s: %s', juggernaut.acting(), v_said),
         payload = jsonb_set(g.payload, '{feedback}',
                             CASE WHEN v_rounds > 0 AND jsonb_typeof(g.payload -> 'feedback') = 'array' THEN g.payload -> 'feedback' ELSE '[]' END
                             || jsonb_build_array(v_said))
   WHERE g.id = t.id;
  PERFORM juggernaut.record_event('task.sent_back', t.id::text, NULL, jsonb_build_object('feedback', v_said, 'round', v_rounds + 1));
  RETURN format('sent back, round %s of %s', v_rounds + 1, juggernaut.threshold('feedback_rounds'));
END
$$;

CREATE OR REPLACE VIEW public.pending_approvals AS
  SELECT a.task_id, juggernaut.shown(t.title) AS title, t.task_type, a.risk_level, a.gate, juggernaut.shown(a.reason) AS reason,
         a.factors AS risk_factors, juggernaut.shown(coalesce(a.body ->> 'diff', jsonb_pretty(a.body))) AS plan, a.digest,
         a.requested_by AS proposed_by, juggernaut.task_cost(a.task_id) AS cost_usd, a.requested_at AS waiting_since,
         (SELECT count(*) FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved') AS have, a.need,
         format('UPDATE governance_tasks SET status = ''pending'', approved_by = ''your name'' WHERE id = %L', a.task_id) AS approve_sql,
         format('SELECT reject_task(%L, ''why not'')', a.task_id) AS reject_sql,
         format('SELECT send_back(%L, ''what to change'')', a.task_id) AS send_back_sql
    FROM public.approvals a JOIN public.governance_tasks t ON t.id = a.task_id
   WHERE a.status = 'pending' ORDER BY a.requested_at;

GRANT EXECUTE ON FUNCTION juggernaut.awaiting_merge_v1(), juggernaut.confirm_merge_v1(uuid, bigint, text, text),
  juggernaut.reported_merge_v1(uuid, bigint, uuid) TO juggernaut_worker;
GRANT EXECUTE ON FUNCTION public.send_back(uuid, text) TO juggernaut_approver;

-- Audit. What people change by hand in a table is an event too, with what changed before and after,
-- beside the event that a function writes about its own decision.
CREATE FUNCTION juggernaut.audit_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  -- First argument: the columns that name the row. Second: columns too large or too busy to keep.
  names text[] := TG_ARGV[0]::text[];
  left_out text[] := TG_ARGV[1]::text[];
  old_row jsonb := CASE WHEN TG_OP = 'INSERT' THEN '{}' ELSE to_jsonb(OLD) - left_out END;
  new_row jsonb := CASE WHEN TG_OP = 'DELETE' THEN '{}' ELSE to_jsonb(NEW) - left_out END;
  old_part jsonb;
  new_part jsonb;
BEGIN
  SELECT coalesce(jsonb_object_agg(k, old_row -> k) FILTER (WHERE old_row ? k), '{}'),
         coalesce(jsonb_object_agg(k, new_row -> k) FILTER (WHERE new_row ? k), '{}') INTO old_part, new_part
    FROM (SELECT jsonb_object_keys(old_row || new_row) AS k) x WHERE old_row -> k IS DISTINCT FROM new_row -> k;
  IF old_part = '{}' AND new_part = '{}' THEN
    RETURN NULL;
  END IF;
  PERFORM juggernaut.record_event(format('%s.%s', TG_TABLE_NAME, lower(TG_OP)),
    (SELECT string_agg(coalesce(new_row ->> n, old_row ->> n), ' ' ORDER BY o) FROM unnest(names) WITH ORDINALITY AS u (n, o)),
    nullif(old_part, '{}'), nullif(new_part, '{}'));
  RETURN NULL;
END
$$;

DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT * FROM (VALUES
      ('public.goals', '{id}', '{}', ''),
      ('public.schedules', '{name}', '{next_run_at,last_run_at}', ''),
      ('public.controls', '{scope}', '{}', ''),
      ('public.budgets', '{scope}', '{spent_usd,reserved_usd,period_start}', ' OF scope, cap_usd'),
      ('public.approvals', '{task_id,gate}', '{body}', ''),
      ('public.recommendations', '{id}', '{rationale,facts}', ''),
      ('juggernaut.grants', '{worker_type,task_type}', '{}', ''),
      ('juggernaut.thresholds', '{name}', '{}', ''),
      ('juggernaut.priorities', '{priority}', '{}', ''),
      ('juggernaut.risks', '{risk_level}', '{}', ''),
      ('juggernaut.task_types', '{task_type}', '{}', ''),
      ('juggernaut.transitions', '{old_status,new_status}', '{}', ''),
      ('juggernaut.criteria', '{task_id,number}', '{}', ' OF accepted_by, accepted_note')
    ) AS v (place, names, left_out, columns)
  LOOP
    EXECUTE format('CREATE TRIGGER audit_row AFTER UPDATE%s OR INSERT OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION juggernaut.audit_row(%L, %L)',
                   r.columns, r.place, r.names, r.left_out);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER audit_row', r.place);
  END LOOP;
END
$$;

-- A claim or an end sets none of these columns, so the trigger costs the hot path nothing.
CREATE TRIGGER audit_edit AFTER UPDATE OF title, description, task_type, priority, acceptance_criteria, payload, repo, goal_id, parent_task_id,
    budget_usd, deadline, timeout_seconds, max_attempts, dedupe_key, concurrency_key, risk_level, requires_approval
  ON public.governance_tasks FOR EACH ROW
  WHEN ((OLD.title, OLD.description, OLD.task_type, OLD.priority, OLD.acceptance_criteria, OLD.payload, OLD.repo, OLD.goal_id, OLD.parent_task_id,
         OLD.budget_usd, OLD.deadline, OLD.timeout_seconds, OLD.max_attempts, OLD.dedupe_key, OLD.concurrency_key, OLD.risk_level, OLD.requires_approval)
        IS DISTINCT FROM
        (NEW.title, NEW.description, NEW.task_type, NEW.priority, NEW.acceptance_criteria, NEW.payload, NEW.repo, NEW.goal_id, NEW.parent_task_id,
         NEW.budget_usd, NEW.deadline, NEW.timeout_seconds, NEW.max_attempts, NEW.dedupe_key, NEW.concurrency_key, NEW.risk_level, NEW.requires_approval))
  EXECUTE FUNCTION juggernaut.audit_row('{id}', '{result,lease_hash,ready,due_at,lane,claim_key,waits,status,error_message,approval_reason,plan_digest,risk_factors,fence,session_id,lease_login,lease_until,assigned_worker,attempts,approved_by,approved_at,run_after}');
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER audit_edit;

-- A seal also keeps a mark of every row that it covers, so that a change can be named by its row.
-- The marks only locate: what proves is the chained digest over the rows themselves.
ALTER TABLE juggernaut.seals ADD COLUMN seqs bigint[], ADD COLUMN marks bytea[];

CREATE FUNCTION juggernaut.event_text(e juggernaut.events) RETURNS text
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$ SELECT jsonb_build_array(e.seq, e.at, e.login, e.application, e.kind, e.subject, e.before, e.after)::text $$;

CREATE OR REPLACE FUNCTION juggernaut.seal_bytes(p_before bytea, p_from xid8, p_to xid8, OUT digest bytea, OUT n integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp SET timezone = 'UTC'
AS $$
  SELECT sha256(p_before || convert_to(coalesce(string_agg(juggernaut.event_text(e), E'\n' ORDER BY e.xid, e.seq), ''), 'UTF8')), count(*)::integer
    FROM juggernaut.events e WHERE e.xid > p_from AND e.xid <= p_to
$$;

CREATE FUNCTION juggernaut.seal_marks(p_from xid8, p_to xid8, OUT seqs bigint[], OUT marks bytea[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp SET timezone = 'UTC'
AS $$
  SELECT array_agg(e.seq ORDER BY e.xid, e.seq),
         array_agg(substring(sha256(convert_to(juggernaut.event_text(e), 'UTF8')) FROM 1 FOR 8) ORDER BY e.xid, e.seq)
    FROM juggernaut.events e WHERE e.xid > p_from AND e.xid <= p_to
$$;

-- Seals what has ended, some thousand rows at a time, so that no batch outgrows memory.
CREATE OR REPLACE FUNCTION juggernaut.seal_audit() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  last_seal juggernaut.seals;
  v_end xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_to xid8;
  s record;
  k record;
  n_sealed integer := 0;
BEGIN
  IF NOT juggernaut.alone('seal') THEN
    RETURN 0;
  END IF;
  FOR batch IN 1..20 LOOP
    SELECT * INTO last_seal FROM juggernaut.seals ORDER BY last_xid DESC LIMIT 1;
    SELECT max(x.xid) INTO v_to
      FROM (SELECT e.xid FROM juggernaut.events e WHERE e.xid > coalesce(last_seal.last_xid, '0'::xid8) AND e.xid < v_end
             ORDER BY e.xid, e.seq LIMIT 5000) x;
    EXIT WHEN v_to IS NULL;
    SELECT * INTO s FROM juggernaut.seal_bytes(coalesce(last_seal.digest, ''), coalesce(last_seal.last_xid, '0'::xid8), v_to);
    SELECT * INTO k FROM juggernaut.seal_marks(coalesce(last_seal.last_xid, '0'::xid8), v_to);
    INSERT INTO juggernaut.seals (last_xid, rows_sealed, digest, seqs, marks) VALUES (v_to, s.n, s.digest, k.seqs, k.marks);
    n_sealed := n_sealed + s.n;
  END LOOP;
  RETURN n_sealed;
END
$$;

-- Names the first row under a broken seal that is not what it was.
CREATE FUNCTION juggernaut.first_bad_row(p_from xid8, s juggernaut.seals) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  k record;
  bad record;
  e juggernaut.events;
BEGIN
  SELECT * INTO k FROM juggernaut.seal_marks(p_from, s.last_xid);
  SELECT coalesce(was.seq, now_.seq) AS seq, was.seq IS NULL AS added, now_.seq IS NULL AS gone INTO bad
    FROM unnest(s.seqs, s.marks) AS was (seq, mark)
    FULL JOIN unnest(k.seqs, k.marks) AS now_ (seq, mark) ON now_.seq = was.seq
   WHERE was.mark IS DISTINCT FROM now_.mark ORDER BY 1 LIMIT 1;
  IF bad.seq IS NULL THEN
    RETURN format('the seal of transactions after %s up to %s itself was changed', p_from, s.last_xid);
  END IF;
  SELECT * INTO e FROM juggernaut.events x WHERE x.seq = bad.seq;
  RETURN format('event %s %s (sealed %s)', bad.seq,
    CASE WHEN bad.gone THEN 'is gone'
         ELSE format('%s: %s of %s by %s', CASE WHEN bad.added THEN 'was added' ELSE 'was changed' END, e.kind, e.subject, e.login) END,
    s.sealed_at);
END
$$;

CREATE OR REPLACE FUNCTION public.audit_verify() RETURNS TABLE (ok boolean, sealed bigint, unsealed bigint, first_bad text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  s juggernaut.seals;
  again record;
  v_before bytea := '';
  v_from xid8 := '0';
  v_sealed bigint := 0;
BEGIN
  FOR s IN SELECT * FROM juggernaut.seals ORDER BY last_xid LOOP
    SELECT * INTO again FROM juggernaut.seal_bytes(v_before, v_from, s.last_xid);
    IF again.digest <> s.digest OR again.n <> s.rows_sealed THEN
      RETURN QUERY SELECT false, v_sealed, (SELECT count(*) FROM juggernaut.events e WHERE e.xid > (SELECT max(x.last_xid) FROM juggernaut.seals x)),
        CASE WHEN s.seqs IS NULL THEN format('events of transactions after %s up to %s were changed', v_from, s.last_xid)
             ELSE juggernaut.first_bad_row(v_from, s) END;
      RETURN;
    END IF;
    v_sealed := v_sealed + s.rows_sealed;
    v_before := s.digest;
    v_from := s.last_xid;
  END LOOP;
  RETURN QUERY SELECT true, v_sealed, (SELECT count(*) FROM juggernaut.events e WHERE e.xid > v_from), NULL::text;
END
$$;

-- The policy as data: how many people approve, and the least risk of each type, come from
-- config/policy.yaml. Each application of it is a numbered row, with the whole file in it.
CREATE TABLE juggernaut.policy_versions (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version text NOT NULL,
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object' AND pg_column_size(body) <= 1048576),
  applied_by text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON juggernaut.policy_versions FOR EACH ROW EXECUTE FUNCTION juggernaut.append_only();
ALTER TABLE juggernaut.policy_versions ENABLE ALWAYS TRIGGER append_only;
GRANT SELECT ON juggernaut.policy_versions TO juggernaut_worker, juggernaut_approver, juggernaut_reader;

CREATE FUNCTION public.apply_policy(version text, digest text, body jsonb, only_first boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  wrong text;
  v_number bigint;
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not apply a policy: an operator does that', juggernaut.acting()));
  END IF;
  LOCK TABLE juggernaut.policy_versions IN SHARE ROW EXCLUSIVE MODE;
  IF only_first AND EXISTS (SELECT FROM juggernaut.policy_versions) THEN
    RETURN NULL;
  END IF;
  SELECT string_agg(f.key, ', ' ORDER BY f.key) INTO wrong FROM jsonb_each_text(apply_policy.body -> 'floors') f
   WHERE NOT EXISTS (SELECT FROM juggernaut.task_types y WHERE y.task_type = f.key)
      OR NOT EXISTS (SELECT FROM juggernaut.risks r WHERE r.risk_level = f.value);
  IF wrong IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('floors of unknown task types or risks: %s', wrong), 'SELECT task_type FROM juggernaut.task_types');
  END IF;
  UPDATE juggernaut.risks r SET approvers = (apply_policy.body -> 'approvers' ->> r.risk_level)::smallint
   WHERE apply_policy.body -> 'approvers' ? r.risk_level
     AND r.approvers <> (apply_policy.body -> 'approvers' ->> r.risk_level)::smallint;
  IF EXISTS (SELECT FROM juggernaut.risks a JOIN juggernaut.risks b ON a.rank < b.rank WHERE a.approvers > b.approvers) THEN
    PERFORM juggernaut.refuse('JG001', 'more risk must not need fewer approvers');
  END IF;
  UPDATE juggernaut.task_types y SET risk_floor = apply_policy.body -> 'floors' ->> y.task_type
   WHERE apply_policy.body -> 'floors' ? y.task_type AND y.risk_floor <> apply_policy.body -> 'floors' ->> y.task_type;
  INSERT INTO juggernaut.policy_versions (version, digest, body, applied_by)
    VALUES (apply_policy.version, apply_policy.digest, apply_policy.body, juggernaut.acting()) RETURNING number INTO v_number;
  PERFORM juggernaut.record_event('policy.applied', v_number::text, NULL,
    jsonb_build_object('version', apply_policy.version, 'digest', apply_policy.digest));
  RETURN v_number;
END
$$;

-- What becomes of a task whose need will never complete is its own decision.
ALTER TABLE public.governance_tasks ADD COLUMN on_failed_need text NOT NULL DEFAULT 'block' CHECK (on_failed_need IN ('block', 'fail', 'run'));
COMMENT ON COLUMN public.governance_tasks.on_failed_need IS 'when a task that it needs fails, is rejected or cancelled: block (a person decides), fail too, or run without it';
INSERT INTO juggernaut.transitions VALUES ('waiting', 'failed');
GRANT INSERT (on_failed_need) ON public.governance_tasks TO juggernaut_approver;

CREATE OR REPLACE FUNCTION juggernaut.after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  dependant uuid;
BEGIN
  IF NEW.acceptance_criteria IS DISTINCT FROM OLD.acceptance_criteria THEN
    IF EXISTS (SELECT FROM juggernaut.verdicts WHERE task_id = NEW.id) THEN
      PERFORM juggernaut.refuse('JG001', 'criteria that were judged already cannot change', 'cancel the task and add a new one');
    END IF;
    DELETE FROM juggernaut.criteria WHERE task_id = NEW.id;
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT NEW.id, c.number, c.criterion, c.check_argv FROM juggernaut.parse_criteria(NEW.acceptance_criteria) c;
  END IF;
  IF NEW.status = OLD.status THEN
    RETURN NULL;
  END IF;
  PERFORM juggernaut.record_event('task.' || NEW.status, NEW.id::text,
    jsonb_build_object('status', OLD.status, 'fence', OLD.fence),
    jsonb_strip_nulls(jsonb_build_object('status', NEW.status, 'fence', NEW.fence, 'worker', NEW.assigned_worker, 'error', left(NEW.error_message, 500))));
  IF NEW.status IN ('cancelled', 'rejected', 'failed') THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp() WHERE task_id = NEW.id AND status = 'pending';
  END IF;
  IF NEW.status = 'completed' THEN
    FOR dependant IN UPDATE juggernaut.dependencies SET met = true WHERE needs_id = NEW.id AND NOT met RETURNING task_id LOOP
      UPDATE public.governance_tasks SET waits = waits - 1,
             status = CASE WHEN status = 'waiting' AND waits = 1 THEN 'pending' ELSE status END
       WHERE id = dependant;
    END LOOP;
  ELSIF NEW.status IN ('failed', 'rejected', 'cancelled') THEN
    UPDATE public.governance_tasks t
       SET status = 'blocked', fence = t.fence + 1, blocked_at = clock_timestamp(), blocked_owner = 'a person',
           blocked_reason = format('needs task %s, which is %s: retry_task or cancel_task it', NEW.id, NEW.status)
      FROM juggernaut.dependencies d
     WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting' AND t.on_failed_need = 'block';
    UPDATE public.governance_tasks t
       SET status = 'failed', fence = t.fence + 1, error_message = format('needs task %s, which is %s', NEW.id, NEW.status)
      FROM juggernaut.dependencies d
     WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting' AND t.on_failed_need = 'fail';
    WITH met AS (
      UPDATE juggernaut.dependencies d SET met = true FROM public.governance_tasks t
       WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting' AND t.on_failed_need = 'run' RETURNING d.task_id
    )
    UPDATE public.governance_tasks t SET waits = t.waits - 1, status = CASE WHEN t.waits = 1 THEN 'pending' ELSE t.status END
      FROM met WHERE t.id = met.task_id;
  ELSIF OLD.status = 'failed' AND NEW.status = 'pending' THEN
    UPDATE public.governance_tasks t SET status = 'waiting', fence = t.fence + 1
      FROM juggernaut.dependencies d
     WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'blocked' AND t.waits > 0;
  END IF;
  RETURN NULL;
END
$$;
