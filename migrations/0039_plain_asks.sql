-- The same bounds for every way to ask and to claim by plain SQL, and nobody but its needs ends a wait.
SET LOCAL ROLE juggernaut_owner;

-- Whoever asks, by the function or by a move of what is held: not for what is approved, and not without end.
CREATE OR REPLACE FUNCTION juggernaut.raw_ask(t public.governance_tasks, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_reason text := left(coalesce(nullif(btrim(p_reason), ''), 'asked for by ' || juggernaut.acting()), 2000);
  bytes jsonb := juggernaut.raw_body(t) || jsonb_build_object('reason', v_reason);
  v_since timestamptz := clock_timestamp() - juggernaut.seconds('approval_seconds');
  v_open bigint;
BEGIN
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = 'plan' AND a.status = 'approved' AND a.body - 'reason' = juggernaut.raw_body(t)
                AND greatest(a.need, juggernaut.approvers_of(t)) <= (SELECT count(*) FROM juggernaut.good_decisions(a, v_since))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is approved as it stands', t.id), 'do it; asking again would take away what people gave');
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
    SELECT t.id, 'plan', encode(sha256(convert_to(bytes::text, 'UTF8')), 'hex'), bytes, t.risk_level, v_reason, greatest(r.approvers, 1), juggernaut.acting()
      FROM juggernaut.risks r WHERE r.risk_level = t.risk_level
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level;
END
$$;

-- Approved by people who may decide still.
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
          AND a.need >= juggernaut.approvers_of(old) AND a.body - 'reason' = juggernaut.raw_body(old)
          AND a.digest = encode(sha256(convert_to(a.body::text, 'UTF8')), 'hex')
          AND a.decided_at > v_since AND a.need <= (SELECT count(*) FROM juggernaut.good_decisions(a, v_since))) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) needs an approval of what it says now', old.id, old.risk_level),
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

-- As before, and a task that waits for others is not made pending by hand: it would wait for ever when one of them fails.
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
  IF old.status = 'waiting' AND new.status = 'pending' AND NOT certified THEN
    PERFORM juggernaut.refuse('JG001', format('task %s needs %s other task(s), and goes on by itself when they are completed', old.id, old.waits),
                              'SELECT * FROM why(id)');
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
  END IF;
  IF old.status IN ('failed', 'blocked') AND new.status = 'pending' AND new.waits > 0 THEN
    -- Locked: a need that is ending at this moment would not see that this one waits for it again.
    SELECT n.id, n.status INTO need FROM (
        SELECT g.id, g.status FROM public.governance_tasks g
         WHERE g.id = ANY (ARRAY(SELECT d.needs_id FROM juggernaut.dependencies d WHERE d.task_id = old.id AND NOT d.met))
         ORDER BY g.id OFFSET 0 FOR SHARE) n
     WHERE n.status IN ('failed', 'rejected', 'cancelled') LIMIT 1;
    IF need.id IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('task %s needs task %s, which is %s', old.id, need.id, need.status),
                                CASE need.status WHEN 'failed' THEN 'retry that one first' ELSE 'cancel_task this one, and add it again without that need' END);
    END IF;
    new.status := 'waiting';
  END IF;
  IF old.status = 'blocked' THEN
    new.blocked_reason := NULL; new.blocked_owner := NULL; new.blocked_at := NULL;
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
