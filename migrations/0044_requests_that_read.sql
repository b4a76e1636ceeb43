-- A request is approved only as a person can read it: what cannot be shown is refused, what is approved is
-- bound to bytes that the database hashed itself, and no other worker's question takes an approval away.
SET LOCAL ROLE juggernaut_owner;

-- Says what no client is to be given, or nothing. Numbers are printed one by one until one is too long: a
-- few bytes such as 1e100000 print a hundred thousand digits, and a whole value of them no memory holds.
CREATE FUNCTION juggernaut.json_fault(p_value jsonb, p_levels integer DEFAULT 64) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF pg_column_size(p_value) <= 128 AND length(p_value::text) <= 128 THEN
    RETURN NULL; -- the short ones, which are most, have room for neither
  ELSIF (CASE p_levels WHEN 64 THEN jsonb_path_exists(p_value, 'strict $.**{65}')
                       ELSE jsonb_path_exists(p_value, format('strict $.**{%s}', p_levels + 1)::jsonpath) END) THEN
    RETURN format('nests deeper than %s levels', p_levels);
  -- As one array: a set of jsonb_path_query takes the square of its length.
  ELSIF EXISTS (SELECT FROM jsonb_array_elements(jsonb_path_query_array(p_value, 'strict $.** ? (@.type() == "number")')) AS n
                 WHERE length(n::text) > 400) THEN
    RETURN 'holds a number of more than 400 digits';
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.json_fault(jsonb, integer) FROM PUBLIC;

-- Why a body cannot be shown whole; NULL where it can. The depth bounds what jsonb_pretty makes of it, so it is
-- looked at first; a number of few bytes may print more than a hundred thousand signs. A plain request holds the
-- payload, which has 64 levels of its own.
CREATE FUNCTION juggernaut.body_fault(p jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_fault text;
BEGIN
  IF jsonb_typeof(p) <> 'object' THEN
    RETURN 'it is no object';
  ELSIF pg_column_size(p #> '{}') > 8388608 THEN
    RETURN 'it is longer than 8 MiB';
  END IF;
  v_fault := juggernaut.json_fault(p, 66);
  RETURN CASE
    WHEN v_fault IS NOT NULL THEN 'it ' || v_fault
    WHEN jsonb_typeof(p -> 'diff') <> 'string' THEN 'its diff is no text'
    WHEN octet_length(jsonb_pretty(p - 'diff')) + coalesce(octet_length(p ->> 'diff'), 0) > 8388608 THEN 'it is longer than 8 MiB'
    END;
EXCEPTION WHEN OTHERS THEN
  RETURN 'it cannot be printed'; -- longer than a text can be
END
$$;
REVOKE ALL ON FUNCTION juggernaut.body_fault(jsonb) FROM PUBLIC;

-- What a person reads of a request, whatever stands there: rows from before may hold anything. What is known to be
-- without a fault (p_whole) is not looked at again.
CREATE FUNCTION juggernaut.plan_shown(p_gate text, p_body jsonb, p_whole boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_fault text := CASE WHEN p_whole IS NOT TRUE THEN juggernaut.body_fault(p_body) END;
BEGIN
  IF v_fault IS NULL THEN
    RETURN juggernaut.shown(CASE WHEN p_gate = 'diff' AND p_body ? 'diff' THEN jsonb_pretty(p_body - 'diff') || E'\n' || (p_body ->> 'diff')
                                 ELSE jsonb_pretty(p_body) END);
  END IF;
  v_fault := format('CANNOT BE SHOWN WHOLE AND MUST NOT BE APPROVED: %s', v_fault);
  -- The start of what is small as it is kept: more may print as a text of gigabytes.
  RETURN v_fault || CASE WHEN pg_column_size(p_body #> '{}') <= 16384 THEN E'. Its start:\n' || juggernaut.shown(left(p_body::text, 2000)) ELSE '' END;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.plan_shown(text, jsonb, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION juggernaut.plan_shown(text, jsonb, boolean) TO juggernaut_worker, juggernaut_plain, juggernaut_approver, juggernaut_reader;

-- Why it cannot be shown, and else what a decision is bound to: made once by guard_approval, not by each reader.
ALTER TABLE public.approvals ADD COLUMN fault text, ADD COLUMN shown_digest text;

-- What a decision is bound to. The worker chooses its own digest and its bytes; it does not know when it will have
-- asked, so it cannot look for two requests whose digests begin alike. NULL where nobody may approve.
CREATE FUNCTION juggernaut.shown_digest(a public.approvals) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT a.shown_digest
$$;
REVOKE ALL ON FUNCTION juggernaut.shown_digest(public.approvals) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION juggernaut.shown_digest(public.approvals) TO juggernaut_worker, juggernaut_plain, juggernaut_approver, juggernaut_reader;

-- With the digest that the database made of what is shown.
CREATE OR REPLACE VIEW public.pending_approvals AS
  SELECT a.task_id, juggernaut.shown(t.title) AS title, t.task_type, a.risk_level, a.gate, juggernaut.shown(a.reason) AS reason,
         a.factors AS risk_factors, juggernaut.plan_shown(a.gate, a.body, a.shown_digest IS NOT NULL) AS plan, a.shown_digest AS digest,
         a.requested_by AS proposed_by, juggernaut.task_cost(a.task_id) AS cost_usd, a.requested_at AS waiting_since,
         (SELECT count(*) FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved') AS have, a.need,
         CASE WHEN a.shown_digest IS NOT NULL THEN format('SELECT approve_task(%L, ''read it'', %L)', a.task_id, a.shown_digest) END AS approve_sql,
         format('SELECT reject_task(%L, ''why not'')', a.task_id) AS reject_sql,
         format('SELECT send_back(%L, ''what to change'')', a.task_id) AS send_back_sql
    FROM public.approvals a JOIN public.governance_tasks t ON t.id = a.task_id
   WHERE a.status = 'pending' ORDER BY a.requested_at;

-- What cannot be shown is neither asked nor approved.
CREATE OR REPLACE FUNCTION juggernaut.guard_approval() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF (NEW.task_id, NEW.gate, NEW.digest, NEW.body) IS DISTINCT FROM (OLD.task_id, OLD.gate, OLD.digest, OLD.body) THEN
      PERFORM juggernaut.refuse('JG001', 'the bytes of an approval never change', 'ask for another one');
    END IF;
    -- Neither is known of a row of before these columns.
    NEW.fault := CASE WHEN OLD.shown_digest IS NULL AND OLD.fault IS NULL THEN juggernaut.body_fault(NEW.body) ELSE OLD.fault END;
    NEW.shown_digest := OLD.shown_digest;
  ELSE
    NEW.fault := juggernaut.body_fault(NEW.body);
  END IF;
  IF NEW.fault IS NOT NULL AND (TG_OP = 'INSERT' OR (NEW.status IN ('pending', 'approved') AND NEW.status <> OLD.status)) THEN
    PERFORM juggernaut.refuse('JG001', format('what is asked for task %s cannot be shown whole to who decides: %s', NEW.task_id, NEW.fault),
                              'a body is an object of 66 levels and 8 MiB at most, and its diff is a text');
  END IF;
  IF TG_OP = 'INSERT' OR (NEW.status = 'pending' AND OLD.status <> 'pending') THEN
    NEW.requested_by := juggernaut.acting();
    NEW.requested_session := session_user;
    NEW.requested_at := clock_timestamp();
    NEW.decided_at := NULL;
    NEW.escalated_at := NULL;
    NEW.reason := left(NEW.reason, 2000);
    NEW.factors := ARRAY(SELECT left(btrim(regexp_replace(juggernaut.shown(f.line), '\s+', ' ', 'g')), 300) FROM unnest(NEW.factors) WITH ORDINALITY AS f (line, n) ORDER BY f.n LIMIT 60);
  END IF;
  IF NEW.fault IS NOT NULL THEN
    NEW.shown_digest := NULL;
  ELSIF NEW.shown_digest IS NULL OR TG_OP = 'INSERT' OR NEW.requested_at <> OLD.requested_at THEN
    NEW.shown_digest := encode(sha256(convert_to(concat_ws(' ', NEW.id, extract(epoch FROM NEW.requested_at), NEW.task_id, NEW.gate, NEW.digest,
                                                           NEW.body), 'UTF8')), 'hex');
  END IF;
  RETURN NEW;
END
$$;

-- The guard fills the two columns of what was asked before.
UPDATE public.approvals SET fault = NULL;

CREATE OR REPLACE FUNCTION juggernaut.guard_plan() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_fault text := juggernaut.body_fault(NEW.body);
BEGIN
  IF v_fault IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('what is asked for task %s cannot be shown whole to who decides: %s', NEW.task_id, v_fault),
                              'a body is an object of 66 levels and 8 MiB at most, and its diff is a text');
  END IF;
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = NEW.task_id AND a.gate = NEW.gate AND a.digest = NEW.digest AND a.body <> NEW.body) THEN
    PERFORM juggernaut.refuse('JG001', format('digest %s of task %s stands for other bytes', left(NEW.digest, 12), NEW.task_id),
                              'a digest is the sha256 of the plan that is shown');
  END IF;
  UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
   WHERE task_id = NEW.task_id AND gate = NEW.gate AND status = 'approved' AND decided_at < clock_timestamp() - juggernaut.seconds('approval_seconds');
  RETURN NEW;
END
$$;

-- The digest is the one that pending_approvals shows, of just this request, or the start of it that people are told.
CREATE OR REPLACE FUNCTION public.approve_task(id uuid, note text DEFAULT 'approved', digest text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_open public.approvals;
  v_given text := lower(btrim(approve_task.digest, E' \t\r\n'));
BEGIN
  PERFORM juggernaut.known_task(approve_task.id);
  PERFORM FROM public.governance_tasks t WHERE t.id = approve_task.id FOR NO KEY UPDATE;
  SELECT a.* INTO v_open FROM public.approvals a WHERE a.task_id = approve_task.id AND a.status = 'pending';
  IF v_open.id IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no open approval request', approve_task.id), 'SELECT * FROM pending_approvals');
  END IF;
  IF v_open.shown_digest IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('what is asked for task %s cannot be shown whole: nobody can approve it', approve_task.id), 'reject_task or send_back');
  END IF;
  IF NOT (length(v_given) >= 12 AND starts_with(v_open.shown_digest, v_given)) THEN
    PERFORM juggernaut.refuse('JG001', CASE
      WHEN length(v_given) >= 12 AND EXISTS (SELECT FROM public.approvals a WHERE a.task_id = approve_task.id AND starts_with(a.shown_digest, v_given))
        THEN format('the plan changed: its digest is %s now', v_open.shown_digest)
      ELSE format('%L is not the digest of this request, which is %s', left(v_given, 64), v_open.shown_digest) END,
      'read it in pending_approvals; the first 12 signs of its digest or more are enough');
  END IF;
  UPDATE public.governance_tasks t SET status = 'pending', approved_by = coalesce(approve_task.note, 'approved')
   WHERE t.id = approve_task.id AND t.status = 'waiting_approval';
  RETURN (SELECT CASE t.status WHEN 'pending' THEN 'approved' ELSE 'one more person has to approve' END
            FROM public.governance_tasks t WHERE t.id = approve_task.id);
END
$$;

-- With the digest that is approved, and whatever body somebody approved before.
CREATE OR REPLACE FUNCTION juggernaut.why_row(t public.governance_tasks) RETURNS TABLE (reason text, owner text, deadline timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
  v_have integer;
BEGIN
  IF t.status IN ('completed', 'failed', 'rejected', 'cancelled') THEN
    RETURN QUERY SELECT t.status || coalesce(': ' || t.error_message, ''), 'nobody'::text, NULL::timestamptz;
  ELSIF t.status = 'waiting_approval' THEN
    SELECT * INTO a FROM public.approvals x WHERE x.task_id = t.id AND x.status = 'pending';
    SELECT count(*) INTO v_have FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved';
    RETURN QUERY SELECT format('waits for %s%s approval(s) of its %s, digest %s: %s', CASE WHEN v_have > 0 THEN 'another ' ELSE '' END, a.need - v_have,
                               a.gate, coalesce(left(juggernaut.shown_digest(a), 12), 'none (it cannot be shown whole)'), a.reason),
      'an approver'::text, a.requested_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'blocked' THEN
    RETURN QUERY SELECT t.blocked_reason, t.blocked_owner, t.blocked_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'waiting' THEN
    RETURN QUERY SELECT 'needs ' || string_agg(format('%s "%s" (%s)', n.id, left(n.title, 60), n.status), ', ' ORDER BY n.created_at, n.id),
      'the tasks it needs'::text, juggernaut.late_at(t)
      FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id WHERE d.task_id = t.id AND NOT d.met;
  ELSIF t.status = 'in_progress' THEN
    RETURN QUERY SELECT format('in progress with %s since %s', t.assigned_worker, to_char(t.started_at, 'HH24:MI:SS')), t.assigned_worker, t.lease_until;
  ELSIF t.status = 'awaiting_merge' AND EXISTS (SELECT FROM juggernaut.pull_watches w WHERE w.task_id = t.id AND w.waiting) THEN
    RETURN QUERY SELECT format('pull request #%s: %s', w.number, w.reason), w.owner, w.since + juggernaut.seconds('pull_wait_seconds')
      FROM juggernaut.pull_watches w WHERE w.task_id = t.id;
  ELSIF t.status = 'awaiting_merge' THEN
    RETURN QUERY SELECT format('%s reported a merge; the forge has not confirmed it yet', coalesce(t.assigned_worker, 'a worker')),
      'the swarm: an executor asks the forge'::text,
      coalesce((SELECT x.ended_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence), t.started_at)
        + juggernaut.seconds('merge_confirm_seconds');
  ELSIF EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id)) THEN
    RETURN QUERY SELECT format('paused (%s) by %s: %s', c.scope, c.paused_by, c.reason), 'a person: resume_swarm'::text, juggernaut.late_at(t, c.paused_at)
      FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id) ORDER BY c.scope LIMIT 1;
  ELSIF t.due_at > clock_timestamp() AND EXISTS (SELECT FROM juggernaut.footprints f WHERE f.task_id = t.id AND f.waits_for IS NOT NULL) THEN
    RETURN QUERY SELECT format('task %s "%s" works on the same files; tried again at %s', h.id, left(h.title, 60), to_char(t.due_at, 'HH24:MI:SS')),
      'that task'::text, t.due_at
      FROM juggernaut.footprints f JOIN public.governance_tasks h ON h.id = f.waits_for WHERE f.task_id = t.id;
  ELSIF t.due_at > clock_timestamp() THEN
    RETURN QUERY SELECT format('not before %s (attempt %s of %s%s)', to_char(t.due_at, 'HH24:MI:SS'), t.attempts + 1, t.max_attempts,
      coalesce(', after: ' || left(t.error_message, 200), '')), 'the swarm'::text, t.due_at;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.task_type = t.task_type) THEN
    RETURN QUERY SELECT format('no role is granted task type %s', t.task_type), 'an operator: grant_capability'::text, juggernaut.late_at(t);
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)) THEN
    RETURN QUERY SELECT format('no live worker%s is granted task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one'::text, juggernaut.late_at(t);
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
                       AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles))) THEN
    RETURN QUERY SELECT format('no live worker%s handles task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one that does'::text, juggernaut.late_at(t);
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
                       AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles))
                       AND NOT EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('role:' || s.worker_type, 'worker:' || s.worker_id))) THEN
    RETURN QUERY SELECT format('every worker that could take it is paused: %s', string_agg(format('%s by %s: %s', c.scope, c.paused_by, c.reason), '; ' ORDER BY c.scope)),
      'a person: resume_swarm'::text, juggernaut.late_at(t, max(c.paused_at))
      FROM public.controls c WHERE EXISTS (
        SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
         WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
           AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
           AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles)) AND c.scope IN ('role:' || s.worker_type, 'worker:' || s.worker_id));
  ELSIF t.concurrency_key IS NOT NULL AND EXISTS (
      SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL) THEN
    RETURN QUERY SELECT format('another task with concurrency_key %s is in progress', t.concurrency_key), 'that task'::text, juggernaut.late_at(t);
  ELSIF juggernaut.approvers_of(t) > 0 AND NOT EXISTS (
      SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
       WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp() AND s.secret_hash IS NOT NULL
         AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type) AND t.task_type = ANY (s.handles))
      AND NOT EXISTS (SELECT FROM public.approvals p WHERE p.task_id = t.id AND p.gate = 'plan' AND p.status = 'approved'
                         AND p.need >= juggernaut.approvers_of(t) AND CASE WHEN jsonb_typeof(p.body) = 'object' THEN p.body - 'reason' END = juggernaut.raw_body(t)
                         AND p.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds')) THEN
    RETURN QUERY SELECT 'only workers that claim by plain SQL could take it, and they may not before it is approved',
      'such a worker: request_approval; or an operator: start a worker that plans it'::text, juggernaut.late_at(t);
  ELSE
    RETURN QUERY SELECT 'ready: waits for a free worker', 'the swarm'::text, juggernaut.late_at(t);
  END IF;
END
$$;

-- Nobody's question takes away what people gave to another's plan. Its reason is the worker's word, as at the gate.
CREATE OR REPLACE FUNCTION juggernaut.raw_ask(t public.governance_tasks, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_reason text := left(coalesce(nullif(btrim(p_reason), ''), 'asked for by ' || juggernaut.acting()), 2000);
  bytes jsonb := juggernaut.raw_body(t) || jsonb_build_object('reason', v_reason);
  v_since timestamptz := clock_timestamp() - juggernaut.seconds('approval_seconds');
  v_open bigint;
  v_fault text := juggernaut.body_fault(bytes);
  v_word text := left(translate(btrim(regexp_replace(juggernaut.shown(left(p_reason, 2000)), '\s+', ' ', 'g')), '"', ''''), 1000);
BEGIN
  IF v_fault IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('what is asked for task %s cannot be shown whole to who decides: %s', t.id, v_fault),
                              'a body is an object of 66 levels and 8 MiB at most, and its diff is a text');
  END IF;
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = 'plan' AND a.status = 'approved'
                AND CASE WHEN jsonb_typeof(a.body) = 'object' THEN a.body - 'reason' END = juggernaut.raw_body(t)
                AND greatest(a.need, juggernaut.approvers_of(t)) <= (SELECT count(*) FROM juggernaut.good_decisions(a, v_since))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is approved as it stands', t.id), 'do it; asking again would take away what people gave');
  END IF;
  -- Also where another worker's plan was approved: what people gave to it is not this one's to take away.
  IF juggernaut.approved(t, 'plan') THEN
    PERFORM juggernaut.refuse('JG001', format('a plan of task %s is approved already, and a worker that plans will take it', t.id),
                              'take another task; ask for this one when that approval is over');
  END IF;
  IF juggernaut.approvers_of(t) = 0 THEN
    SELECT count(*) INTO v_open FROM public.approvals a JOIN juggernaut.risks r ON r.risk_level = a.risk_level
     WHERE a.status = 'pending' AND a.gate = 'plan' AND a.requested_by = juggernaut.acting() AND r.approvers = 0;
    IF v_open >= juggernaut.threshold('asks_at_once') THEN
      PERFORM juggernaut.refuse('JG001', format('%s has %s requests open that no rule calls for: task %s may be worked on without an approval', juggernaut.acting(), v_open, t.id),
                                'work on it, or wait for an answer to the others');
    END IF;
  END IF;
  UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp() WHERE task_id = t.id AND status IN ('pending', 'approved') AND gate = 'plan';
  INSERT INTO public.approvals AS a (task_id, gate, digest, body, risk_level, reason, need, requested_by)
    SELECT t.id, 'plan', encode(sha256(convert_to(bytes::text, 'UTF8')), 'hex'), bytes, t.risk_level,
           format('risk %s%s: %s', t.risk_level, CASE WHEN t.tainted THEN ', from outside' END, CASE WHEN v_word <> '' THEN
             format('the worker %s says "%s"', juggernaut.acting(), v_word) ELSE 'asked for by ' || juggernaut.acting() END),
           greatest(r.approvers, 1), juggernaut.acting()
      FROM juggernaut.risks r WHERE r.risk_level = t.risk_level
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level, reason = excluded.reason;
END
$$;

CREATE OR REPLACE FUNCTION public.request_approval(id uuid, worker_id text, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
  v_open bigint;
BEGIN
  PERFORM juggernaut.known_task(request_approval.id);
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = request_approval.id FOR NO KEY UPDATE;
  IF t.status <> 'pending' OR NOT t.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s: only a task that could be claimed is asked for', t.id, t.status), 'SELECT * FROM why(id)');
  END IF;
  PERFORM juggernaut.raw_worker(t, request_approval.worker_id);
  -- Asking again would take away what people just gave.
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = 'plan' AND a.status = 'approved'
                AND CASE WHEN jsonb_typeof(a.body) = 'object' THEN a.body - 'reason' END = juggernaut.raw_body(t) AND a.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds')
                AND greatest(a.need, juggernaut.approvers_of(t)) <=
                    (SELECT count(*) FROM juggernaut.good_decisions(a, clock_timestamp() - juggernaut.seconds('approval_seconds')))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is approved as it stands', t.id), 'claim it');
  END IF;
  IF juggernaut.approvers_of(t) = 0 THEN
    SELECT count(*) INTO v_open FROM public.approvals a JOIN juggernaut.risks r ON r.risk_level = a.risk_level
     WHERE a.status = 'pending' AND a.gate = 'plan' AND a.requested_by = juggernaut.acting() AND r.approvers = 0;
    IF v_open >= juggernaut.threshold('asks_at_once') THEN
      PERFORM juggernaut.refuse('JG001', format('%s has %s requests open that no rule calls for: task %s may be worked on without an approval', juggernaut.acting(), v_open, t.id),
                                'claim it, or wait for an answer to the others');
    END IF;
  END IF;
  PERFORM juggernaut.raw_ask(t, request_approval.reason);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, fence = g.fence + 1,
         approval_reason = left(request_approval.reason, 2000) WHERE g.id = t.id;
  RETURN 'waiting_approval';
END
$$;

-- Criteria are told from the row that was taken: the table is read as of before an edit that this claim waited for.
CREATE OR REPLACE FUNCTION juggernaut.claim_v1(p_session uuid, p_secret uuid, p_slots integer)
RETURNS TABLE (task jsonb, fence bigint, secret uuid, seconds integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  s record;
  v_now timestamptz := clock_timestamp();
  v_taken integer := 0;
BEGIN
  IF p_slots IS NULL OR p_slots < 1 OR current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse('JG001', 'a claim asks for at least one task') WHERE p_slots IS NULL OR p_slots < 1;
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  FOR look IN 1 .. 2 LOOP
    SELECT x.id, x.worker_id, x.login, x.waiting, l.lanes, l.floors, l.walked, p.paused,
           (SELECT make_interval(secs => y.value::float8) FROM juggernaut.thresholds y WHERE y.name = 'timeout_grace_seconds') AS grace
      INTO s
      FROM juggernaut.sessions x CROSS JOIN (SELECT ARRAY(SELECT c.scope::text FROM public.controls c) AS paused OFFSET 0) p CROSS JOIN LATERAL (
        SELECT array_agg(l.lane) AS lanes, array_agg(CASE WHEN l.walked_at < v_now - interval '1 second' THEN 0 ELSE l.floor_key END) AS floors,
               array_agg(l.lane) FILTER (WHERE l.walked_at < v_now - interval '1 second') AS walked
          FROM juggernaut.lanes l
         WHERE l.task_type = ANY (x.handles) AND l.assignment IN ('', x.worker_type, x.worker_id) AND x.worker_type = ANY (l.granted)
           AND NOT ARRAY['all', 'role:' || x.worker_type, 'worker:' || x.worker_id, 'type:' || l.task_type]
                   && p.paused) l
     WHERE x.id = p_session AND x.secret_hash = juggernaut.hash(p_secret) AND x.login = juggernaut.acting()
       AND x.closed_at IS NULL AND x.expires_at > v_now;
    IF s.id IS NULL THEN
      PERFORM juggernaut.refuse('JG003', 'this session is over', 'register again');
    END IF;
    IF s.lanes IS NOT NULL THEN
      RETURN QUERY
      WITH head AS MATERIALIZED (
        SELECT r.id, r.claim_key, r.concurrency_key
          FROM unnest(s.lanes, s.floors) AS v (lane, floor_key)
         CROSS JOIN LATERAL (
           SELECT t.id, t.claim_key, t.concurrency_key FROM public.governance_tasks t
            WHERE t.lane = v.lane AND t.ready AND t.claim_key >= v.floor_key AND (t.goal_id IS NULL OR 'goal:' || t.goal_id <> ALL (s.paused))
              AND (t.concurrency_key IS NULL OR NOT EXISTS (
                     SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL))
            ORDER BY t.claim_key, t.id LIMIT p_slots FOR UPDATE SKIP LOCKED) r
      ), picked AS MATERIALIZED (
        SELECT h.id, gen_random_uuid() AS new_secret
          FROM head h
         WHERE h.concurrency_key IS NULL OR NOT EXISTS (
                 SELECT FROM head k WHERE k.concurrency_key = h.concurrency_key AND (k.claim_key, k.id) < (h.claim_key, h.id))
         ORDER BY h.claim_key, h.id LIMIT p_slots
      ), taken AS (
        UPDATE public.governance_tasks t
           SET status = 'in_progress', ready = false, assigned_worker = s.worker_id, started_at = clock_timestamp(),
               attempts = t.attempts + 1, fence = t.fence + 1, session_id = s.id, lease_login = s.login,
               lease_hash = juggernaut.hash(p.new_secret),
               lease_until = clock_timestamp() + make_interval(secs => t.timeout_seconds) + s.grace, error_message = NULL
          FROM picked p WHERE t.id = p.id
        RETURNING t.id, t.fence, t.lease_hash, t.claim_key, t.timeout_seconds, p.new_secret, jsonb_build_object(
               'id', t.id, 'title', t.title, 'description', t.description, 'task_type', t.task_type, 'priority', t.priority,
               'risk_level', t.risk_level, 'status', t.status, 'goal_id', t.goal_id, 'parent_task_id', t.parent_task_id, 'repo', t.repo,
               'payload', t.payload || jsonb_build_object('accepted_criteria', CASE WHEN t.acceptance_criteria IS NULL THEN '[]' ELSE
                   coalesce((SELECT jsonb_agg(c.number) FROM juggernaut.criteria c
                              WHERE c.task_id = t.id AND c.accepted_by IS NOT NULL
                                AND EXISTS (SELECT FROM juggernaut.parse_criteria(t.acceptance_criteria) p
                                             WHERE p.number = c.number AND p.criterion = c.text)), '[]') END),
               'result', t.result, 'attempts', t.attempts, 'max_attempts', t.max_attempts, 'timeout_seconds', t.timeout_seconds,
               'budget_usd', t.budget_usd, 'created_by', t.created_by,
               'error_message', CASE WHEN t.fence > 1 THEN
                   (SELECT a.error_message FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.ended_as IN ('retry', 'failed', 'expired')
                     ORDER BY a.fence DESC LIMIT 1) END,
               'criteria', CASE WHEN t.acceptance_criteria IS NULL THEN '[]' ELSE
                   coalesce((SELECT jsonb_agg(jsonb_build_object('number', c.number, 'text', c.criterion, 'check', c.check_argv) ORDER BY c.number)
                               FROM juggernaut.parse_criteria(t.acceptance_criteria) c), '[]') END) AS told
      ), booked AS (
        INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login, lease_hash)
          SELECT k.id, k.fence, s.id, s.worker_id, s.login, k.lease_hash FROM taken k
      ), noted AS (
        INSERT INTO juggernaut.events (login, application, kind, subject, before, after)
          SELECT s.login, left(current_setting('application_name', true), 64), 'task.in_progress', k.id::text,
                 jsonb_build_object('status', 'pending', 'fence', k.fence - 1),
                 jsonb_build_object('status', 'in_progress', 'fence', k.fence, 'worker', s.worker_id)
            FROM taken k
      )
      SELECT k.told, k.fence, k.new_secret, k.timeout_seconds FROM taken k ORDER BY k.claim_key, k.id;
      GET DIAGNOSTICS v_taken = ROW_COUNT;
    END IF;
    -- What became due is looked for by whoever finds nothing else, by one claim in twenty, and by the sweep.
    EXIT WHEN look = 2 OR (v_taken > 0 AND random() > 0.05)
           OR NOT EXISTS (SELECT FROM public.governance_tasks d WHERE d.due_at <= v_now);
    UPDATE public.governance_tasks t SET due_at = NULL
     WHERE t.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= v_now
                              ORDER BY d.due_at LIMIT 50 FOR UPDATE SKIP LOCKED));
    EXIT WHEN v_taken > 0;
  END LOOP;
  IF v_taken < p_slots AND random() > 0.01 THEN
    RETURN; -- no lane has more, so nobody is in a hurry; where many take the last one, one in a hundred looks after the floor
  END IF;
  IF s.waiting AND v_taken = p_slots THEN
    -- It has its hands full; before it sleeps it asks for a hint again. Nobody else writes this row.
    UPDATE juggernaut.sessions x SET waiting = false WHERE x.id = s.id;
  END IF;
  IF s.walked IS NOT NULL AND v_taken > 0 THEN
    -- The new floor of a lane that was walked from its beginning: the lowest task that is left in it,
    -- but nothing that a slow commit may still bring. The next walk corrects it.
    UPDATE juggernaut.lanes l
       SET walked_at = v_now,
           floor_key = least((SELECT t.claim_key FROM public.governance_tasks t WHERE t.lane = l.lane AND t.ready ORDER BY t.claim_key, t.id LIMIT 1),
                             (extract(epoch FROM v_now) * 1000)::bigint + (l.weight_seconds - 5) * 1000)
     WHERE l.lane = ANY (ARRAY(SELECT x.lane FROM juggernaut.lanes x WHERE x.lane = ANY (s.walked) FOR NO KEY UPDATE SKIP LOCKED));
  END IF;
END
$$;

-- Factors are the worker's word: on one line, in quotes, under its login.
CREATE OR REPLACE FUNCTION juggernaut.pass_gate_v1(p_task uuid, p_fence bigint, p_secret uuid, p_gate text, p_digest text, p_body jsonb,
                                        p_risk text, p_factors text[]) RETURNS TABLE (go boolean, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_risk text;
  v_need integer;
  v_reason text;
  v_by text;
  v_factors text[] := ARRAY(SELECT left(btrim(regexp_replace(juggernaut.shown(f.line), '\s+', ' ', 'g')), 300)
                              FROM unnest(p_factors) WITH ORDINALITY AS f (line, n) ORDER BY f.n LIMIT 60);
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  v_risk := juggernaut.higher_risk(juggernaut.higher_risk(p_risk, t.risk_level),
                                   (SELECT risk_floor FROM juggernaut.task_types y WHERE y.task_type = t.task_type));
  INSERT INTO juggernaut.plans (task_id, fence, gate, digest, body, risk_level, factors)
    VALUES (t.id, t.fence, p_gate, p_digest, p_body, v_risk, v_factors) ON CONFLICT (task_id, fence, gate) DO NOTHING;
  SELECT greatest(r.approvers, CASE WHEN p_gate = 'plan' AND (t.requires_approval OR (t.tainted AND v_risk <> 'low')) THEN 1 ELSE 0 END) INTO v_need
    FROM juggernaut.risks r WHERE r.risk_level = v_risk;
  UPDATE public.governance_tasks g SET risk_level = v_risk, risk_factors = v_factors, plan_digest = p_digest WHERE g.id = t.id;
  IF v_need = 0 THEN
    RETURN QUERY SELECT true, format('risk %s: no approval needed', v_risk);
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.digest = p_digest
                AND a.status = 'approved' AND a.need >= v_need) AND juggernaut.approved(t, p_gate, p_digest) THEN
    RETURN QUERY SELECT true, 'approved';
    RETURN;
  END IF;
  v_reason := format('risk %s%s: %s', v_risk, CASE WHEN t.tainted THEN ', from outside' END,
                     CASE WHEN array_to_string(v_factors, '') = '' THEN 'an approval is required' ELSE
                       format('the worker %s says "%s"', juggernaut.acting(), left(translate(array_to_string(v_factors, '; '), '"', ''''), 1000)) END);
  -- Whatever was written on the task is somebody's word, and no reason of a rule. The reason of an earlier gate is left out.
  SELECT a.requested_by INTO v_by FROM public.approvals a WHERE a.task_id = t.id AND a.body ->> 'reason' = t.approval_reason ORDER BY a.id DESC LIMIT 1;
  IF v_by IS NOT NULL OR NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.reason = t.approval_reason) THEN
    v_reason := left(v_reason, 1400) || CASE WHEN btrim(t.approval_reason) <> '' THEN
      format('; %s: "%s"', coalesce('asked by ' || v_by, 'somebody wrote on the task'), left(translate(t.approval_reason, E'"\n\r', '''  '), 500)) ELSE '' END;
  END IF;
  v_reason := left(v_reason, 2000);
  UPDATE public.approvals a SET status = 'void', decided_at = clock_timestamp()
   WHERE a.task_id = t.id AND a.status IN ('pending', 'approved') AND a.gate = p_gate AND a.digest <> p_digest;
  INSERT INTO public.approvals (task_id, gate, digest, body, risk_level, factors, reason, need, requested_by)
    VALUES (t.id, p_gate, p_digest, p_body, v_risk, p_factors, v_reason, v_need, juggernaut.acting())
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level,
      factors = excluded.factors, reason = excluded.reason, decided_at = NULL, requested_at = clock_timestamp();
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'parked', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, approval_reason = v_reason,
         attempts = g.attempts - 1, assigned_worker = g.assignment, session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN QUERY SELECT false, v_reason;
END
$$;

-- Read by nobody as what it is: a decision on it opens nothing, and people are asked again. What ended with one stays lawful.
UPDATE public.approvals a SET status = 'void', decided_at = clock_timestamp()
 WHERE a.status = 'approved' AND jsonb_typeof(a.body) <> 'object'
   AND EXISTS (SELECT FROM public.governance_tasks t WHERE t.id = a.task_id AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled'));
