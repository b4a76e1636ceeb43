-- Nobody holds the swarm: not by one transaction after the other, each shorter than what is ended, not
-- by one that was forgotten, and not from another database of the same server.
SET LOCAL ROLE juggernaut_owner;

INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('hold_seconds', 5, 'seconds', 'a transaction of a worker login that is older and keeps others from ready tasks, late duties or purses counts as a hold'),
  ('hold_times', 4, 'times', 'a login with so many holds in the window has each further one ended at once'),
  ('hold_window_seconds', 900, 'seconds', 'the window of the holds'),
  ('duty_late_seconds', 300, 'seconds', 'a duty of the daemons that did not come through for so long is late'),
  ('approver_idle_seconds', 600, 'seconds', 'an approver''s or reader''s transaction in which nothing happened for so long is ended by the sweep');

-- When a duty came through last: who holds it without an end commits nothing.
ALTER TABLE juggernaut.duties ADD COLUMN done_at timestamptz NOT NULL DEFAULT clock_timestamp();

-- Without a unique key, which an open transaction could keep others waiting at.
CREATE TABLE juggernaut.holds (
  login name NOT NULL,
  pid integer NOT NULL,
  began timestamptz NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE juggernaut.holds IS 'transactions of worker logins that a sweep saw in the way of others, as long as hold_window_seconds';
CREATE TRIGGER fresh_snapshot BEFORE INSERT OR DELETE OR UPDATE ON juggernaut.holds FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.fresh_snapshot();
ALTER TABLE juggernaut.holds ENABLE ALWAYS TRIGGER fresh_snapshot;

-- Open transactions of our logins. A number holds the seals of all databases of the server, so in
-- another one those with a number count too, unless the login has business of its own there.
CREATE VIEW juggernaut.open_transactions AS
  SELECT a.pid, a.usename AS login, k.kind, a.xact_start AS began, a.backend_xid IS NOT NULL AS numbered,
         a.wait_event_type IS NOT DISTINCT FROM 'Lock' AS waits,
         CASE WHEN a.state LIKE 'idle in transaction%' THEN a.state_change END AS idle_since
    FROM pg_catalog.pg_stat_activity a
   CROSS JOIN LATERAL (SELECT CASE WHEN juggernaut.is_worker(a.usename) THEN 'worker'
                                   WHEN pg_has_role(a.usesysid, 'juggernaut_approver', 'MEMBER') THEN 'approver'
                                   WHEN pg_has_role(a.usesysid, 'juggernaut_reader', 'MEMBER') THEN 'reader' END AS kind) k
   WHERE a.usename IS NOT NULL AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() AND k.kind IS NOT NULL
     AND NOT pg_has_role(a.usesysid, 'juggernaut_owner', 'MEMBER')
     AND (a.datname = current_database()
          OR a.backend_xid IS NOT NULL AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
                WHERE m.member = a.usesysid AND g.rolname NOT IN ('juggernaut_worker', 'juggernaut_plain', 'juggernaut_approver', 'juggernaut_reader')));
COMMENT ON VIEW juggernaut.open_transactions IS 'open transactions of worker, approver and reader logins, with what ends them';

CREATE OR REPLACE FUNCTION juggernaut.alone(p_duty text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  IF NOT EXISTS (SELECT FROM juggernaut.duties WHERE name = p_duty) THEN
    INSERT INTO juggernaut.duties VALUES (p_duty) ON CONFLICT DO NOTHING;
  END IF;
  PERFORM FROM juggernaut.duties WHERE name = p_duty FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE juggernaut.duties SET done_at = clock_timestamp() WHERE name = p_duty; -- others see it with the commit
  RETURN true;
END
$$;

-- Who locks a row with this xmax: the pids, without those that lock it as p_but alone. It may be a number
-- of several transactions (two lock the row), or of a savepoint that was released; of that nobody says whose
-- it is: one of the older transactions that had savepoints, as PostgreSQL 16 knows, and not the sweep, which
-- has them too. Before 16 all older ones may be it: if these are several logins', nobody is named for another.
-- An xmax has 32 bits: which transaction it is, says the one that is nearest to those of now.
CREATE FUNCTION juggernaut.lockers(p_xmax xid, p_but text DEFAULT NULL) RETURNS integer[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_near numeric := pg_snapshot_xmax(pg_current_snapshot())::text::numeric;
  v_xids xid[] := ARRAY[p_xmax];
  v_pids integer[];
  v_sweep xid := (SELECT d.xmax FROM juggernaut.duties d WHERE d.name = 'sweep');
  v_logins integer;
BEGIN
  BEGIN
    SELECT array_agg(m.xid) || p_xmax INTO v_xids FROM pg_get_multixact_members(p_xmax) m WHERE m.mode IS DISTINCT FROM p_but;
  EXCEPTION WHEN OTHERS THEN
    NULL; -- it is no such number
  END;
  SELECT array_agg(l.pid) INTO v_pids FROM pg_catalog.pg_locks l
   WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock' AND l.transactionid = ANY (v_xids);
  IF v_pids IS NULL THEN
    SELECT array_agg(DISTINCT a.pid), count(DISTINCT a.usesysid) INTO v_pids, v_logins
      FROM unnest(v_xids) AS x (xid) JOIN pg_catalog.pg_stat_activity a ON age(a.backend_xid) >= age(x.xid)
     WHERE pg_xact_status((v_near + mod(x.xid::text::numeric - mod(v_near, 4294967296) + 6442450944, 4294967296) - 2147483648)::text::xid8) = 'in progress'
       AND a.pid <> pg_backend_pid() AND (v_sweep IS NULL OR a.backend_xid <> v_sweep);
    IF current_setting('server_version_num')::integer >= 160000 THEN
      SELECT array_agg(pg_stat_get_backend_pid(b.id)) INTO v_pids
        FROM pg_stat_get_backend_idset() AS b (id) CROSS JOIN LATERAL pg_stat_get_backend_subxact(b.id) n
       WHERE pg_stat_get_backend_pid(b.id) = ANY (v_pids) AND (n.subxact_count > 0 OR n.subxact_overflowed);
    ELSIF v_logins > 1 THEN
      v_pids := NULL;
    END IF;
  END IF;
  RETURN coalesce(v_pids, '{}');
EXCEPTION WHEN invalid_parameter_value OR invalid_text_representation OR numeric_value_out_of_range THEN
  RETURN '{}';
END
$$;
REVOKE ALL ON FUNCTION juggernaut.lockers(xid, text) FROM PUBLIC;

-- Notes which transactions of worker logins are in the way of others now, and gives those of logins
-- that were it hold_times in the window. One transaction counts once, however long it lasts and however
-- often somebody sweeps. Who waits for a lock is not in the way: the one behind it is; but who waits for a
-- task FOR UPDATE, as no function of the workers does, is. A daemon's effect lock (FOR KEY SHARE) may last
-- long and is in nobody's way: its task is not ready, it locks no other table, and who waits for a task
-- otherwise than FOR UPDATE does not wait for it.
CREATE FUNCTION juggernaut.note_holds() RETURNS integer[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_old integer[];
  v_held integer[];
BEGIN
  IF EXISTS (SELECT FROM juggernaut.holds) THEN
    DELETE FROM juggernaut.holds h WHERE h.ctid = ANY (ARRAY(
      SELECT x.ctid FROM juggernaut.holds x WHERE x.seen_at < clock_timestamp() - juggernaut.seconds('hold_window_seconds') FOR UPDATE SKIP LOCKED));
  END IF;
  SELECT array_agg(o.pid) INTO v_old FROM juggernaut.open_transactions o
   WHERE o.kind = 'worker' AND o.numbered AND o.began < clock_timestamp() - juggernaut.seconds('hold_seconds')
     AND (NOT o.waits OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = o.pid AND l.locktype = 'tuple' AND l.mode = 'AccessExclusiveLock'
                                    AND l.relation = 'public.governance_tasks'::regclass));
  IF v_old IS NULL THEN
    RETURN '{}';
  END IF;
  SELECT array_agg(DISTINCT p.pid) INTO v_held
    FROM (SELECT unnest(juggernaut.lockers(r.xmax)) AS pid
            FROM (SELECT t.xmax FROM juggernaut.lanes l
                   CROSS JOIN LATERAL (SELECT g.xmax FROM public.governance_tasks g WHERE g.lane = l.lane AND g.ready ORDER BY g.claim_key, g.id LIMIT 20) t
                  UNION
                  SELECT d.xmax FROM juggernaut.duties d WHERE d.done_at < clock_timestamp() - juggernaut.seconds('duty_late_seconds')) r
           WHERE r.xmax <> '0'::xid
          UNION ALL
          SELECT unnest(juggernaut.lockers(g.xmax, 'keysh')) FROM public.governance_tasks g
           WHERE g.xmax <> '0'::xid AND g.ctid = ANY (ARRAY(
                   SELECT format('(%s,%s)', l.page, l.tuple)::tid FROM pg_catalog.pg_locks l
                    WHERE l.locktype = 'tuple' AND l.mode <> 'AccessExclusiveLock' AND l.relation = 'public.governance_tasks'::regclass
                      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())))
          UNION ALL
          SELECT b.pid FROM pg_catalog.pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid)
           WHERE w.wait_event_type = 'Lock' AND EXISTS (
                   SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
                    WHERE l.pid = b.pid AND l.granted AND l.mode IN ('RowShareLock', 'RowExclusiveLock') AND c.oid <> 'public.governance_tasks'::regclass)) p
   WHERE p.pid = ANY (v_old);
  INSERT INTO juggernaut.holds (login, pid, began)
    SELECT o.login, o.pid, o.began FROM juggernaut.open_transactions o
     WHERE o.pid = ANY (v_held) AND NOT EXISTS (SELECT FROM juggernaut.holds h WHERE h.login = o.login AND h.pid = o.pid AND h.began = o.began);
  RETURN ARRAY(SELECT o.pid FROM juggernaut.open_transactions o
                WHERE o.pid = ANY (v_held) AND juggernaut.threshold('hold_times')
                      <= (SELECT count(DISTINCT (h.pid, h.began)) FROM juggernaut.holds h WHERE h.login = o.login));
END
$$;
REVOKE ALL ON FUNCTION juggernaut.note_holds() FROM PUBLIC;

-- A login may raise its own timeouts, so another one ends what it holds for too long, or too often.
CREATE OR REPLACE FUNCTION juggernaut.end_old_transactions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  old record;
  n integer := 0;
  v_held integer[] := juggernaut.note_holds();
  v_ended integer[] := '{}';
BEGIN
  FOR old IN
    SELECT o.pid, o.login, o.began, o.kind <> 'worker' AS idle, o.pid = ANY (v_held) AS held FROM juggernaut.open_transactions o
     WHERE CASE WHEN o.kind = 'worker' THEN o.began < clock_timestamp() - juggernaut.seconds('transaction_seconds') OR o.pid = ANY (v_held)
                ELSE o.idle_since < clock_timestamp() - juggernaut.seconds('approver_idle_seconds') END
  LOOP
    IF pg_terminate_backend(old.pid) THEN
      PERFORM juggernaut.record_event('transaction.ended', old.login, NULL, jsonb_build_object('since', old.began));
      n := n + 1;
      v_ended := v_ended || old.pid;
      BEGIN
        IF old.held THEN
          PERFORM juggernaut.try_raise_alert('transactions_held', old.login, 'error',
            format('the login %s keeps others from working, by one open transaction after the other: a claim is committed before the work is done; where it is hostile, juggernaut login drop', old.login), jsonb_build_object('login', old.login, 'since', old.began));
        ELSIF old.idle THEN
          PERFORM juggernaut.try_raise_alert('transaction_idle', old.login, 'warning',
            format('an open transaction of %s, in which nothing happened, was ended', old.login), jsonb_build_object('login', old.login, 'since', old.began));
        END IF;
      EXCEPTION WHEN lock_not_available THEN
        NULL; -- somebody is about to say the same
      END;
    END IF;
  END LOOP;
  -- What they held is free for what follows, if they go at once; half a second is waited at most.
  FOR i IN 1 .. 25 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = ANY (v_ended));
    PERFORM pg_sleep(0.02);
  END LOOP;
  UPDATE public.alerts SET resolved_at = clock_timestamp()
   WHERE id = ANY (ARRAY(SELECT a.id FROM public.alerts a WHERE a.kind IN ('transactions_held', 'transaction_idle') AND a.resolved_at IS NULL
                            AND a.last_seen < clock_timestamp() - juggernaut.seconds('hold_window_seconds') FOR UPDATE SKIP LOCKED));
  RETURN n;
EXCEPTION WHEN insufficient_privilege THEN
  RETURN n; -- a managed host: the migration said so
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.end_numbered_readers() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  old record;
  n integer := 0;
BEGIN
  FOR old IN
    SELECT o.pid, o.login, o.began FROM juggernaut.open_transactions o
     WHERE o.kind = 'reader' AND o.numbered AND o.began < clock_timestamp() - juggernaut.seconds('transaction_seconds')
  LOOP
    IF pg_terminate_backend(old.pid) THEN
      PERFORM juggernaut.record_event('transaction.ended', old.login, NULL, jsonb_build_object('since', old.began));
      n := n + 1;
    END IF;
  END LOOP;
  RETURN n;
EXCEPTION WHEN insufficient_privilege THEN
  RETURN n; -- a managed host
END
$$;

-- As before. A row that somebody keeps is left for the next sweep, after a second; when three duties or
-- rows failed, the further ones get less, so that a sweep ends however many are kept.
CREATE OR REPLACE FUNCTION juggernaut.sweep_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  t public.governance_tasks;
  c record;
  v_errors jsonb := '[]';
  v_less CONSTANT text := '20ms';
  n_expired integer := 0; n_dead integer := 0; n_stale integer := 0; n_due integer := 0; n_written integer := 0; n_sealed integer := 0;
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  -- First, and by everybody: who holds a duty in an open transaction is ended from outside of it.
  BEGIN
    PERFORM juggernaut.end_old_transactions();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'transactions', 'message', left(SQLERRM, 300));
  END;
  IF NOT juggernaut.alone('sweep') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  -- Before what others wait for is locked: leases, purses. Sealing may last for seconds.
  BEGIN
    PERFORM juggernaut.end_numbered_readers();
    n_sealed := juggernaut.seal_audit();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'seals', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    PERFORM juggernaut.watch_seals();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'seals', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    FOR t IN
      SELECT g.* FROM public.governance_tasks g LEFT JOIN juggernaut.sessions s ON s.id = g.session_id
       WHERE g.lease_login IS NOT NULL AND (g.lease_until <= clock_timestamp() OR s.closed_at IS NOT NULL OR s.expires_at <= clock_timestamp())
       ORDER BY g.id LIMIT 500 FOR UPDATE OF g SKIP LOCKED
    LOOP
      BEGIN
        PERFORM set_config('lock_timeout', v_less, true) WHERE jsonb_array_length(v_errors) >= 3;
        PERFORM juggernaut.end_attempt(t.id, t.fence, 'expired', 'lease_expired', format('the lease of %s expired', t.assigned_worker));
        UPDATE public.governance_tasks g
           SET status = CASE WHEN g.attempts < g.max_attempts THEN 'pending' ELSE 'failed' END,
               error_message = CASE WHEN g.attempts < g.max_attempts THEN format('lease_expired: the lease of %s ended without an answer', t.assigned_worker)
                                    ELSE format('lease_expired: %s attempts ended without an answer, the last one with %s', g.attempts, t.assigned_worker) END,
               assigned_worker = g.assignment,
               run_after = CASE WHEN g.attempts < g.max_attempts THEN clock_timestamp() + juggernaut.pause_after(g.attempts) END,
               session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
         WHERE g.id = t.id;
        IF t.attempts >= t.max_attempts THEN
          PERFORM juggernaut.raise_alert('task_failed', t.id::text, 'error', format('task "%s" was given up after %s attempts', t.title, t.attempts),
                                         jsonb_build_object('task_id', t.id, 'code', 'lease_expired'));
          n_dead := n_dead + 1;
        END IF;
        n_expired := n_expired + 1;
      EXCEPTION WHEN OTHERS THEN
        v_errors := v_errors || jsonb_build_object('duty', 'leases', 'of', t.id, 'message', left(SQLERRM, 300));
      END;
    END LOOP;
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'leases', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    UPDATE public.worker_registry w SET status = 'stale', current_task_id = NULL
      FROM juggernaut.sessions s
     WHERE s.id = w.instance_id AND w.worker_id = ANY (ARRAY(
             SELECT r.worker_id FROM public.worker_registry r JOIN juggernaut.sessions x ON x.id = r.instance_id
              WHERE r.status NOT IN ('stale', 'offline') AND x.closed_at IS NULL
                AND x.beat_at < clock_timestamp() - greatest(juggernaut.seconds('stale_seconds'), interval '1 second')
                FOR NO KEY UPDATE OF r SKIP LOCKED));
    GET DIAGNOSTICS n_stale = ROW_COUNT;
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'registry', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    -- A session that ran out and that no worker's row names any more is over.
    UPDATE juggernaut.sessions s SET closed_at = clock_timestamp(), waiting = false
     WHERE s.id = ANY (ARRAY(SELECT x.id FROM juggernaut.sessions x
                              WHERE x.closed_at IS NULL AND x.expires_at <= clock_timestamp()
                                AND NOT EXISTS (SELECT FROM public.worker_registry r WHERE r.instance_id = x.id)
                              ORDER BY x.expires_at LIMIT 500 FOR UPDATE OF x SKIP LOCKED));
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'sessions', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    UPDATE public.governance_tasks g SET due_at = NULL
     WHERE g.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp()
                              ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n_due = ROW_COUNT;
  EXCEPTION WHEN OTHERS THEN
    -- All at once did not go: one after the other, so that one of them keeps nobody waiting.
    FOR c IN SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp() ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED LOOP
      BEGIN
        PERFORM set_config('lock_timeout', v_less, true) WHERE jsonb_array_length(v_errors) >= 3;
        UPDATE public.governance_tasks g SET due_at = NULL WHERE g.id = c.id;
        n_due := n_due + 1;
      EXCEPTION WHEN OTHERS THEN
        v_errors := v_errors || jsonb_build_object('duty', 'due', 'of', c.id, 'message', left(SQLERRM, 300));
      END;
    END LOOP;
  END;
  BEGIN
    FOR c IN
      SELECT m.id, m.reserved_usd FROM juggernaut.model_calls m JOIN juggernaut.attempts a USING (task_id, fence)
       WHERE m.state = 'reserved' AND a.ended_at < clock_timestamp() - juggernaut.seconds('write_off_seconds') LIMIT 200
    LOOP
      BEGIN
        PERFORM set_config('lock_timeout', v_less, true) WHERE jsonb_array_length(v_errors) >= 3;
        PERFORM juggernaut.settle(c.id, c.reserved_usd, '{"written_off": "the attempt ended without settling"}', 'written_off');
        n_written := n_written + 1;
      EXCEPTION WHEN OTHERS THEN
        v_errors := v_errors || jsonb_build_object('duty', 'write-offs', 'of', c.id, 'message', left(SQLERRM, 300));
      END;
    END LOOP;
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'write-offs', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    UPDATE public.approvals SET escalated_at = clock_timestamp()
     WHERE id = ANY (ARRAY(SELECT a.id FROM public.approvals a
                            WHERE a.status = 'pending' AND a.escalated_at IS NULL
                              AND a.requested_at < clock_timestamp() - juggernaut.seconds('approval_seconds') FOR NO KEY UPDATE SKIP LOCKED));
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'approvals', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    PERFORM juggernaut.keep_log_partitions();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'log partitions', 'message', left(SQLERRM, 300));
  END;
  FOR c IN SELECT e ->> 'duty' AS duty, count(*) AS times, min(concat_ws(': ', e ->> 'of', e ->> 'message')) AS message
             FROM jsonb_array_elements(v_errors) e GROUP BY 1 ORDER BY 1
  LOOP
    BEGIN
      PERFORM juggernaut.try_raise_alert('sweep_error', c.duty, 'error', format('the sweep failed %s times at %s: %s', c.times, c.duty, c.message),
                                         jsonb_build_object('duty', c.duty, 'times', c.times, 'message', c.message));
    EXCEPTION WHEN lock_not_available THEN
      NULL; -- the answer says it
    END;
  END LOOP;
  UPDATE public.alerts SET resolved_at = clock_timestamp()
   WHERE id = ANY (ARRAY(SELECT a.id FROM public.alerts a
                          WHERE a.kind = 'sweep_error' AND a.resolved_at IS NULL AND a.subject <> 'refill'
                            AND NOT v_errors @> jsonb_build_array(jsonb_build_object('duty', a.subject)) FOR UPDATE SKIP LOCKED));
  RETURN jsonb_build_object('expired', n_expired, 'given_up', n_dead, 'stale', n_stale, 'due', n_due, 'written_off', n_written, 'sealed', n_sealed,
                            'errors', jsonb_path_query_array(v_errors, '$[0 to 19]'));
END
$$;
