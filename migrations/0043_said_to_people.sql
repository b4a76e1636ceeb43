-- What people are told when an approval has ended, when evidence is short, and when a worker registers wrongly.
SET LOCAL ROLE juggernaut_owner;

UPDATE juggernaut.thresholds SET meaning = 'a request that waits for so long raises an alert, and a decision counts for so long' WHERE name = 'approval_seconds';

-- Whose yes to what is asked now does not count any more, and why; NULL when every one does.
CREATE FUNCTION juggernaut.no_longer_counted(a public.approvals) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT string_agg(CASE WHEN NOT x.may THEN format('%s approved it and may not decide any more', x.login)
                         ELSE format('the approval by %s of %s counted until %s', x.login, date_trunc('second', x.said_at), date_trunc('second', x.until)) END,
                    '; ' ORDER BY x.said_at, x.login)
    FROM (SELECT d.decided_by AS login, max(d.decided_at) AS said_at, max(d.decided_at) + juggernaut.seconds('approval_seconds') AS until,
                 juggernaut.may_decide(d.decided_by) AS may
            FROM juggernaut.decision_log d
           WHERE d.approval_id = a.id AND d.asked_at = a.requested_at AND d.decision = 'approved' GROUP BY d.decided_by) x
   WHERE NOT x.may OR x.until <= clock_timestamp()
$$;
REVOKE ALL ON FUNCTION juggernaut.no_longer_counted(public.approvals) FROM PUBLIC;
-- `juggernaut approve` tells it to the next one.
GRANT EXECUTE ON FUNCTION juggernaut.no_longer_counted(public.approvals) TO juggernaut_approver;

-- Why a plain-SQL worker may not claim what needs an approval: of what was approved last, what is missing.
CREATE FUNCTION juggernaut.no_approval(t public.governance_tasks) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT coalesce((
    SELECT CASE WHEN CASE WHEN jsonb_typeof(a.body) = 'object' THEN a.body - 'reason' END IS DISTINCT FROM juggernaut.raw_body(t) THEN 'what was approved is not what it says now'
                WHEN a.need < juggernaut.approvers_of(t) THEN format('%s approved it, and %s have to', a.need, juggernaut.approvers_of(t))
                ELSE coalesce(juggernaut.no_longer_counted(a), 'its approval was taken back') END
      FROM public.approvals a
     WHERE a.task_id = t.id AND a.gate = 'plan' AND a.status IN ('approved', 'void')
       AND EXISTS (SELECT FROM juggernaut.decision_log d WHERE d.approval_id = a.id AND d.decision = 'approved')
     ORDER BY a.status, a.requested_at DESC LIMIT 1), 'nobody approved it')
$$;
REVOKE ALL ON FUNCTION juggernaut.no_approval(public.governance_tasks) FROM PUBLIC;

-- As before, and whoever is not the last one hears whose yes has ended.
CREATE OR REPLACE FUNCTION juggernaut.decide(p_task uuid, p_decision text, p_note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
  t public.governance_tasks;
  who text := session_user;
  have integer;
  v_since timestamptz := clock_timestamp() - juggernaut.seconds('approval_seconds');
  v_oldest timestamptz;
  v_ended text;
BEGIN
  IF juggernaut.acting_kind() NOT IN ('approver', 'operator') THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not decide: only a login of juggernaut_approver may', who),
                              'juggernaut login create approver NAME');
  END IF;
  SELECT * INTO t FROM public.governance_tasks WHERE id = p_task;
  SELECT * INTO a FROM public.approvals WHERE task_id = p_task AND status = 'pending' FOR UPDATE;
  IF a.id IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no open approval request', p_task));
  END IF;
  a.need := greatest(a.need, juggernaut.approvers_of(t));
  IF p_decision = 'approved' THEN
    IF t.created_by IN (who, juggernaut.acting()) OR a.requested_by IN (who, juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%s proposed task %s and cannot approve it', who, p_task),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = p_task AND e.login = who) THEN
      PERFORM juggernaut.refuse('JG001', format('%s changed task %s and cannot approve it', who, p_task),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF juggernaut.behind_role(t.created_by, who) THEN
      PERFORM juggernaut.refuse('JG001', format('task %s was added under the role %s, which %s may take, and so cannot approve it', p_task, t.created_by, who),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF a.requested_session = who AND 'critical' IN (a.risk_level, t.risk_level) AND juggernaut.threshold('shared_login_critical') IS DISTINCT FROM 1 THEN
      PERFORM juggernaut.refuse('JG001', format('SHARED LOGIN: task %s is critical, and %s runs the worker that asks', p_task, who),
        'give workers a login of their own (juggernaut login create worker NAME), or set threshold shared_login_critical to 1');
    END IF;
  END IF;
  INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision, note)
    VALUES (a.id, a.requested_at, who, p_decision, left(coalesce(p_note, ''), 4000)) ON CONFLICT DO NOTHING;
  PERFORM juggernaut.record_event('approval.' || p_decision, p_task::text, NULL,
    jsonb_build_object('gate', a.gate, 'digest', a.digest, 'note', left(coalesce(p_note, ''), 4000)));
  IF p_decision = 'rejected' THEN
    UPDATE public.approvals SET status = 'rejected', decided_at = clock_timestamp() WHERE id = a.id;
    RETURN 'rejected';
  END IF;
  -- It is as old as the oldest decision that it rests on: whatever looks at decided_at sees it end in time.
  SELECT count(*), min(x.said_at) INTO have, v_oldest
    FROM (SELECT d.said_at FROM juggernaut.good_decisions(a, v_since) d ORDER BY d.said_at DESC LIMIT a.need) x;
  UPDATE public.approvals SET need = a.need, status = CASE WHEN have < a.need THEN 'pending' ELSE 'approved' END,
         decided_at = CASE WHEN have < a.need THEN NULL ELSE v_oldest END WHERE id = a.id;
  v_ended := CASE WHEN have < a.need THEN juggernaut.no_longer_counted(a) END;
  IF v_ended IS NOT NULL THEN
    RAISE NOTICE '%', v_ended;
  END IF;
  RETURN CASE WHEN have < a.need THEN 'more' ELSE 'approved' END;
END
$$;

-- As before, with the reason.
CREATE OR REPLACE FUNCTION juggernaut.raw_claim(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  w public.worker_registry;
  v_since timestamptz := clock_timestamp() - juggernaut.seconds('approval_seconds');
BEGIN
  IF NOT old.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is not claimable yet: %s', old.id,
      CASE WHEN old.waits > 0 THEN 'it needs other tasks' ELSE 'it is not due' END));
  END IF;
  w := juggernaut.raw_worker(old, new.assigned_worker);
  IF juggernaut.approvers_of(old) > 0 AND NOT EXISTS (
       SELECT FROM public.approvals a WHERE a.task_id = old.id AND a.gate = 'plan' AND a.status = 'approved'
          AND a.need >= juggernaut.approvers_of(old) AND CASE WHEN jsonb_typeof(a.body) = 'object' THEN a.body - 'reason' END = juggernaut.raw_body(old)
          AND a.digest = encode(sha256(convert_to(a.body::text, 'UTF8')), 'hex')
          AND a.decided_at > v_since AND a.need <= (SELECT count(*) FROM juggernaut.good_decisions(a, v_since))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) needs an approval that still counts: %s', old.id, old.risk_level, juggernaut.no_approval(old)),
                              format('SELECT request_approval(%L, %L, ''why'')', old.id, w.worker_id));
  END IF;
  UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
   WHERE id = w.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s has no open plain-SQL session', w.worker_id),
                              'register it again in worker_registry');
  END IF;
  new.fence := old.fence + 1;
  new.attempts := old.attempts + 1;
  new.started_at := clock_timestamp();
  new.session_id := w.instance_id;
  new.lease_login := juggernaut.acting();
  new.lease_hash := NULL;
  new.lease_until := clock_timestamp() + make_interval(secs => old.timeout_seconds) + juggernaut.seconds('timeout_grace_seconds');
  new.error_message := NULL;
  new.completed_at := NULL;
  new.completion_evidence := NULL;
  new.requires_approval := old.requires_approval;
  new.approval_reason := old.approval_reason;
  INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login)
    VALUES (new.id, new.fence, new.session_id, w.worker_id, juggernaut.acting());
  RETURN new;
END
$$;

-- As before; short evidence is not called none.
CREATE OR REPLACE FUNCTION juggernaut.raw_finish(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  ended text;
BEGIN
  IF old.lease_hash IS NOT NULL OR old.lease_login <> juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is held by another attempt', old.id));
  END IF;
  IF old.lease_until <= clock_timestamp() OR NOT EXISTS (
       SELECT FROM juggernaut.sessions s WHERE s.id = old.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()) THEN
    PERFORM juggernaut.refuse('JG003', format('the lease of task %s is over', old.id), 'claim it again');
  END IF;
  IF new.status = 'completed' THEN
    IF new.completion_evidence IS NULL OR length(btrim(new.completion_evidence)) < 40 THEN
      PERFORM juggernaut.refuse('JG001',
        CASE WHEN coalesce(btrim(new.completion_evidence), '') = '' THEN format('task %s cannot be completed without evidence', old.id)
             ELSE format('task %s: the evidence has %s characters, and needs 40: say what was done', old.id, length(btrim(new.completion_evidence))) END,
        format('completion_evidence must state facts for %s: %s', old.task_type,
               (SELECT array_to_string(required_facts, ', ') FROM juggernaut.task_types WHERE task_type = old.task_type)));
    END IF;
    new := juggernaut.self_reported(old, new);
    ended := new.status;
  ELSIF new.status = 'failed' THEN
    IF new.error_message IS NULL OR length(btrim(new.error_message)) = 0 THEN
      PERFORM juggernaut.refuse('JG001', 'failed needs an error_message');
    END IF;
    new.completed_at := clock_timestamp();
    ended := 'failed';
  ELSIF new.status = 'waiting_approval' THEN
    PERFORM juggernaut.raw_ask(old, new.approval_reason);
    new.requires_approval := true;
    new.attempts := old.attempts - 1;
    ended := 'parked';
  ELSIF juggernaut.release_is_free(old.id) THEN
    new.attempts := old.attempts - 1;
    ended := 'released';
  ELSIF old.attempts < old.max_attempts THEN
    ended := 'released';
  ELSE
    new.status := 'failed';
    new.error_message := left('given back too often: ' || coalesce(new.error_message, ''), 16000);
    new.completed_at := clock_timestamp();
    ended := 'failed';
  END IF;
  new.started_at := old.started_at;
  IF ended IN ('parked', 'released') THEN
    new.completed_at := NULL;
    new.completion_evidence := NULL;
  END IF;
  new.approval_reason := left(new.approval_reason, 2000);
  new.session_id := NULL; new.lease_login := NULL; new.lease_until := NULL;
  new.assigned_worker := CASE WHEN ended IN ('parked', 'released') THEN old.assignment ELSE old.assigned_worker END;
  UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = ended, error_message = new.error_message
   WHERE task_id = old.id AND fence = old.fence;
  RETURN new;
END
$$;

-- As before, with a sentence for a kind or a status that there is not.
CREATE OR REPLACE FUNCTION juggernaut.guard_registry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.login <> juggernaut.acting() AND juggernaut.acting_kind() = 'worker'
     AND NOT (NEW.status = 'stale' AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = OLD.instance_id
                AND (s.closed_at IS NOT NULL OR s.beat_at < clock_timestamp() - juggernaut.seconds('stale_seconds')))) THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s belongs to another login', OLD.worker_id));
  END IF;
  -- Before the constraints say it with the whole row.
  IF coalesce(NEW.worker_type !~ '^[a-z][a-z0-9_]{0,40}$', true) THEN
    PERFORM juggernaut.refuse('JG001', format('worker_type %L is no kind of worker', left(NEW.worker_type, 80)),
      format('in small letters; these have work: %s', (SELECT string_agg(DISTINCT g.worker_type, ', ') FROM juggernaut.grants g)));
  END IF;
  IF coalesce(NEW.status NOT IN ('active', 'idle', 'busy', 'stale', 'offline'), true) THEN
    PERFORM juggernaut.refuse('JG001', format('status %L is none of a worker', left(NEW.status, 80)), 'active, idle, busy, stale or offline');
  END IF;
  IF pg_column_size(NEW.capabilities) > 16384 OR pg_column_size(NEW.metadata) > 16384 OR length(NEW.version) > 255 OR length(NEW.host) > 255 THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s says too much of itself', left(NEW.worker_id, 60)), 'capabilities and metadata have 16 KiB, version and host 255 signs');
  END IF;
  NEW.last_heartbeat := CASE WHEN TG_OP = 'UPDATE' AND NEW.status IN ('stale', 'offline') THEN OLD.last_heartbeat ELSE clock_timestamp() END;
  IF TG_OP = 'INSERT' THEN
    NEW.login := juggernaut.acting();
    NEW.started_at := clock_timestamp();
  END IF;
  IF TG_OP = 'INSERT' AND NEW.instance_id IS NULL AND EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id) THEN
    RETURN NEW; -- ON CONFLICT: the row that is there has a session, or gets one by the update
  END IF;
  IF NEW.instance_id IS NULL OR (TG_OP = 'UPDATE' AND NEW.instance_id = OLD.instance_id AND NEW.status NOT IN ('stale', 'offline') AND NOT EXISTS (
       SELECT FROM juggernaut.sessions s WHERE s.id = NEW.instance_id AND s.closed_at IS NULL)) THEN
    NEW.instance_id := gen_random_uuid();
    INSERT INTO juggernaut.sessions (id, worker_id, worker_type, login, expires_at)
      VALUES (NEW.instance_id, NEW.worker_id, NEW.worker_type, NEW.login, clock_timestamp() + juggernaut.seconds('raw_session_seconds'));
  ELSIF NEW.status NOT IN ('stale', 'offline') THEN
    UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
     WHERE id = NEW.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  END IF;
  RETURN NEW;
END
$$;
