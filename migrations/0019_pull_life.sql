-- The life of a pull request: rules, reviews and comments of the local forge, the watch over what
-- waits at a forge, the train that merges one at a time, and the files that tasks work on.
SET LOCAL ROLE juggernaut_owner;

INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('pulls_seconds', 2, 'seconds', 'waiting pull requests are looked over this often; each is asked about when its own time has come'),
  ('pull_look_seconds', 5, 'seconds', 'the forge is asked again about a waiting pull request after this, and later the quieter it is'),
  ('pull_look_most_seconds', 300, 'seconds', 'and at the latest after this'),
  ('pull_wait_seconds', 604800, 'seconds', 'a pull request that waits for so long is blocked for a person'),
  ('train_seconds', 3600, 'seconds', 'a task keeps its turn to merge for so long'),
  ('footprint_seconds', 10, 'seconds', 'a task whose files somebody else works on is tried again after this'),
  ('footprint_deferrals', 60, 'times', 'and it starts all the same when it was put off so often'),
  ('branch_keep_seconds', 604800, 'seconds', 'the branch of a merged pull request is deleted after this'),
  ('forge_reviews_approve', 0, 'flag', '1: an approving review at the forge, as a worker reports it, counts as its mapped login''s approval of that diff');

-- The local forge -------------------------------------------------------------------------------

ALTER TABLE juggernaut.pull_requests
  ADD COLUMN draft boolean NOT NULL DEFAULT false,
  ADD COLUMN ended_by text;

-- What other forges call branch protection.
CREATE TABLE juggernaut.forge_rules (
  repo text PRIMARY KEY CHECK (length(repo) BETWEEN 1 AND 4096),
  checks text[] NOT NULL DEFAULT '{}' CHECK (cardinality(checks) <= 50),
  reviews smallint NOT NULL DEFAULT 0 CHECK (reviews BETWEEN 0 AND 10),
  up_to_date boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE juggernaut.forge_rules IS 'what a merge in the local forge needs besides the verifier''s check: other checks, approving reviews, a head that has the newest base';

CREATE TABLE juggernaut.pull_reviews (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number bigint NOT NULL REFERENCES juggernaut.pull_requests,
  author text NOT NULL,
  state text NOT NULL CHECK (state IN ('approved', 'changes_requested', 'commented', 'dismissed')),
  sha text NOT NULL,
  body text NOT NULL CHECK (length(body) <= 20000),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX pull_reviews_newest ON juggernaut.pull_reviews (number, author, id DESC);

CREATE TABLE juggernaut.pull_comments (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number bigint NOT NULL REFERENCES juggernaut.pull_requests,
  author text NOT NULL,
  key text CHECK (length(key) BETWEEN 1 AND 300),
  body text NOT NULL CHECK (length(body) <= 20000),
  path text NOT NULL DEFAULT '' CHECK (length(path) <= 4096),
  line integer CHECK (line > 0),
  reply_to bigint REFERENCES juggernaut.pull_comments,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (number, key)
);
COMMENT ON COLUMN juggernaut.pull_comments.key IS 'set on what the swarm says itself, so that a repeat says nothing twice';
GRANT SELECT ON juggernaut.forge_rules, juggernaut.pull_reviews, juggernaut.pull_comments TO juggernaut_worker, juggernaut_approver, juggernaut_reader;

-- As before, with drafts; the head of one that is open is kept as it is now.
CREATE FUNCTION juggernaut.pull_open_v2(
  p_repo text, p_head_branch text, p_base_branch text, p_title text, p_body text, p_head_sha text, p_draft boolean
) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  before_this bigint := coalesce((SELECT max(p.number) FROM juggernaut.pull_requests p WHERE p.repo = p_repo), 0);
  found_row juggernaut.pull_requests;
BEGIN
  SELECT * INTO found_row FROM juggernaut.pull_open_v1(p_repo, p_head_branch, p_base_branch, p_title, p_body, p_head_sha);
  IF found_row.number > before_this AND p_draft THEN
    UPDATE juggernaut.pull_requests p SET draft = true WHERE p.number = found_row.number AND p.state = 'open' RETURNING * INTO found_row;
  END IF;
  RETURN NEXT found_row;
END
$$;

CREATE FUNCTION juggernaut.pull_head_v1(p_repo text, p_number bigint, p_head_sha text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_requests p SET head_sha = p_head_sha
   WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open' AND p.intended_sha IS NULL AND p.head_sha <> p_head_sha;
EXCEPTION WHEN unique_violation THEN
  NULL; -- that head was merged by an earlier pull request
END
$$;

CREATE FUNCTION juggernaut.pull_ready_v1(p_repo text, p_number bigint) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_requests p SET draft = false WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open' AND p.draft;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number;
END
$$;

CREATE FUNCTION juggernaut.pull_say_v1(p_repo text, p_number bigint, p_key text, p_body text, p_reply_to bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_id bigint;
BEGIN
  INSERT INTO juggernaut.pull_comments (number, author, key, body, reply_to)
    SELECT p.number, juggernaut.acting(), p_key, p_body, (SELECT c.id FROM juggernaut.pull_comments c WHERE c.id = p_reply_to AND c.number = p.number)
      FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number
    ON CONFLICT (number, key) DO NOTHING RETURNING id INTO v_id;
  RETURN coalesce(v_id, (SELECT c.id FROM juggernaut.pull_comments c JOIN juggernaut.pull_requests p USING (number)
                          WHERE p.repo = p_repo AND p.number = p_number AND c.key = p_key));
END
$$;

CREATE FUNCTION juggernaut.pull_close_v1(p_repo text, p_number bigint, p_reason text) RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_requests p SET state = 'closed', ended_by = juggernaut.acting()
   WHERE p.repo = p_repo AND p.number = p_number AND p.state = 'open';
  IF FOUND THEN
    PERFORM juggernaut.pull_say_v1(p_repo, p_number, 'closed', p_reason, NULL);
  END IF;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p WHERE p.repo = p_repo AND p.number = p_number;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.pull_confirm_v1(p_repo text, p_number bigint, p_merge_sha text)
RETURNS SETOF juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_requests p
  SET state = 'merged', merged_sha = p_merge_sha, merged_at = pg_catalog.clock_timestamp(), draft = false, ended_by = juggernaut.acting()
  WHERE p.number = p_number AND p.repo = p_repo AND p.state = 'open' AND p.intended_sha = p_merge_sha;
  RETURN QUERY SELECT * FROM juggernaut.pull_requests p
  WHERE p.number = p_number AND p.repo = p_repo AND p.merged_sha = p_merge_sha;
END
$$;

GRANT EXECUTE ON FUNCTION juggernaut.pull_open_v2(text, text, text, text, text, text, boolean), juggernaut.pull_head_v1(text, bigint, text),
  juggernaut.pull_ready_v1(text, bigint), juggernaut.pull_say_v1(text, bigint, text, text, bigint), juggernaut.pull_close_v1(text, bigint, text)
  TO juggernaut_worker;

-- What people do with a pull request of the local forge.
CREATE FUNCTION juggernaut.open_pull_row(p_number bigint, p_what text) RETURNS juggernaut.pull_requests
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  p juggernaut.pull_requests;
BEGIN
  PERFORM juggernaut.person_only(p_what);
  SELECT * INTO p FROM juggernaut.pull_requests x WHERE x.number = p_number AND x.state = 'open' FOR UPDATE;
  IF p.number IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('there is no open pull request %s', p_number), 'SELECT number, title FROM juggernaut.pull_requests');
  END IF;
  RETURN p;
END
$$;

CREATE FUNCTION public.review_pull(number bigint, verdict text, said text DEFAULT '') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  p juggernaut.pull_requests := juggernaut.open_pull_row(review_pull.number, 'review a pull request');
  v_id bigint;
BEGIN
  IF review_pull.verdict NOT IN ('approved', 'changes_requested', 'commented', 'dismissed') THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no verdict', review_pull.verdict), 'use approved, changes_requested, commented or dismissed');
  END IF;
  INSERT INTO juggernaut.pull_reviews AS r (number, author, state, sha, body)
    VALUES (p.number, juggernaut.acting(), review_pull.verdict, p.head_sha, left(coalesce(review_pull.said, ''), 20000)) RETURNING r.id INTO v_id;
  UPDATE juggernaut.pull_watches w SET next_look_at = clock_timestamp() WHERE w.repo = p.repo AND w.number = p.number;
  RETURN v_id;
END
$$;

CREATE FUNCTION public.comment_pull(number bigint, said text, path text DEFAULT '', line integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  p juggernaut.pull_requests := juggernaut.open_pull_row(comment_pull.number, 'comment on a pull request');
  v_id bigint;
BEGIN
  INSERT INTO juggernaut.pull_comments AS c (number, author, body, path, line)
    VALUES (p.number, juggernaut.acting(), left(coalesce(comment_pull.said, ''), 20000), coalesce(comment_pull.path, ''), comment_pull.line) RETURNING c.id INTO v_id;
  UPDATE juggernaut.pull_watches w SET next_look_at = clock_timestamp() WHERE w.repo = p.repo AND w.number = p.number;
  RETURN v_id;
END
$$;

CREATE FUNCTION public.close_pull(number bigint, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  p juggernaut.pull_requests := juggernaut.open_pull_row(close_pull.number, 'close a pull request');
BEGIN
  PERFORM public.comment_pull(p.number, close_pull.reason);
  UPDATE juggernaut.pull_requests x SET state = 'closed', ended_by = juggernaut.acting() WHERE x.number = p.number;
  RETURN 'closed';
END
$$;

-- A result of somebody else's checks, for instance of a CI that a person runs.
CREATE FUNCTION public.report_check(repo text, sha text, name text, passed boolean, details text DEFAULT '') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.person_only('report a check');
  PERFORM juggernaut.check_post_v1(report_check.repo, report_check.sha, report_check.name, report_check.passed, left(coalesce(report_check.details, ''), 20000));
  UPDATE juggernaut.pull_watches w SET next_look_at = clock_timestamp() WHERE w.repo = report_check.repo AND w.head = report_check.sha;
END
$$;

CREATE FUNCTION public.protect_repository(repo text, checks text[] DEFAULT '{}', reviews integer DEFAULT 0, up_to_date boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not protect a repository: an operator does that', juggernaut.acting()));
  END IF;
  INSERT INTO juggernaut.forge_rules AS r (repo, checks, reviews, up_to_date)
    VALUES (protect_repository.repo, protect_repository.checks, protect_repository.reviews, protect_repository.up_to_date)
    ON CONFLICT ON CONSTRAINT forge_rules_pkey DO UPDATE SET checks = excluded.checks, reviews = excluded.reviews, up_to_date = excluded.up_to_date;
  PERFORM juggernaut.record_event('repository.protected', left(protect_repository.repo, 200), NULL,
    jsonb_build_object('checks', protect_repository.checks, 'reviews', protect_repository.reviews, 'up_to_date', protect_repository.up_to_date));
END
$$;
GRANT EXECUTE ON FUNCTION public.review_pull(bigint, text, text), public.comment_pull(bigint, text, text, integer),
  public.close_pull(bigint, text), public.report_check(text, text, text, boolean, text) TO juggernaut_approver;

-- The watch --------------------------------------------------------------------------------------
-- One row per pull request that the swarm opened. It names a task and does not refer to it, so that
-- a finished task can move to an archive.
CREATE TABLE juggernaut.pull_watches (
  task_id uuid PRIMARY KEY,
  repo text NOT NULL CHECK (length(repo) BETWEEN 1 AND 4096),
  branch text NOT NULL CHECK (length(branch) BETWEEN 1 AND 200),
  number bigint NOT NULL,
  head text NOT NULL CHECK (head ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
  stamp text NOT NULL DEFAULT '' CHECK (length(stamp) <= 4000),
  waiting boolean NOT NULL DEFAULT false,
  waits_for text CHECK (waits_for IN ('checks', 'review', 'turn', 'queue', 'forge')),
  reason text CHECK (length(reason) <= 4000),
  owner text CHECK (length(owner) <= 300),
  since timestamptz,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  next_look_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  fixes integer NOT NULL DEFAULT 0,
  updates integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE juggernaut.pull_watches IS 'pull requests of tasks: what they wait for, and when the forge is asked next';
CREATE INDEX pull_watches_due ON juggernaut.pull_watches (next_look_at);
CREATE INDEX pull_watches_place ON juggernaut.pull_watches (repo, number);

-- What a look found that is the swarm's step, each once; `done_at`: an attempt dealt with it.
CREATE TABLE juggernaut.pull_news (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('checks_green', 'checks_red', 'changes_requested', 'comments', 'behind', 'conflict', 'closed', 'merged', 'head_moved', 'flaky')),
  key text NOT NULL CHECK (length(key) BETWEEN 1 AND 400),
  said text NOT NULL DEFAULT '' CHECK (length(said) <= 8000),
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at timestamptz,
  UNIQUE (task_id, key)
);

CREATE TABLE juggernaut.trains (
  repo text PRIMARY KEY CHECK (length(repo) BETWEEN 1 AND 4096),
  task_id uuid,
  until timestamptz
);
COMMENT ON TABLE juggernaut.trains IS 'which task of a repository has its turn to be verified on the newest base and merged';

CREATE TABLE juggernaut.footprints (
  task_id uuid PRIMARY KEY,
  repo text NOT NULL CHECK (length(repo) BETWEEN 1 AND 4096),
  planned text[] NOT NULL DEFAULT '{}' CHECK (cardinality(planned) <= 200),
  actual text[] NOT NULL DEFAULT '{}' CHECK (cardinality(actual) <= 200),
  began boolean NOT NULL DEFAULT false,
  deferrals integer NOT NULL DEFAULT 0,
  waits_for uuid
);
COMMENT ON TABLE juggernaut.footprints IS 'files that a task means to change (payload.files) and those that it changed';
CREATE INDEX footprints_place ON juggernaut.footprints (repo);
GRANT SELECT ON juggernaut.pull_watches, juggernaut.pull_news, juggernaut.trains, juggernaut.footprints
  TO juggernaut_worker, juggernaut_approver, juggernaut_reader;

-- Who has the turn at this moment. A task that is neither worked on nor waits at the forge lost it.
CREATE FUNCTION juggernaut.turn_of(p_repo text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT r.task_id FROM juggernaut.trains r JOIN public.governance_tasks t ON t.id = r.task_id
   WHERE r.repo = p_repo AND r.until > clock_timestamp() AND t.status IN ('in_progress', 'awaiting_merge')
$$;

-- Nobody else's turn, and of those that wait for it this one waits longest.
CREATE FUNCTION juggernaut.next_in_train(w juggernaut.pull_watches) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT w.waiting AND w.waits_for = 'turn' AND juggernaut.turn_of(w.repo) IS NULL
     AND NOT EXISTS (SELECT FROM juggernaut.pull_watches y JOIN public.governance_tasks h ON h.id = y.task_id
                      WHERE y.repo = w.repo AND y.waiting AND y.waits_for = 'turn' AND h.status = 'awaiting_merge'
                        AND (y.since, y.task_id) < (w.since, w.task_id))
$$;

CREATE FUNCTION juggernaut.note_pull_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text, p_branch text, p_number bigint, p_head text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO juggernaut.pull_watches (task_id, repo, branch, number, head) VALUES (t.id, p_repo, p_branch, p_number, p_head)
    ON CONFLICT (task_id) DO UPDATE SET repo = excluded.repo, branch = excluded.branch, number = excluded.number, head = excluded.head, waiting = false;
  RETURN true;
END
$$;

-- Ends the attempt, uncounted: the pull request waits for somebody at the forge, and no worker does.
CREATE FUNCTION juggernaut.park_pull_v1(p_task uuid, p_fence bigint, p_secret uuid, p_stamp text, p_waits_for text, p_reason text, p_owner text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_now timestamptz := clock_timestamp();
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'parked', false);
  END IF;
  UPDATE juggernaut.pull_watches w
     SET waiting = true, stamp = p_stamp, waits_for = p_waits_for, reason = left(p_reason, 4000), owner = left(p_owner, 300),
         -- A task that waits for its turn again keeps its place.
         since = CASE WHEN w.waits_for = 'turn' AND p_waits_for = 'turn' THEN w.since ELSE v_now END,
         changed_at = v_now, next_look_at = v_now + juggernaut.seconds('pull_look_seconds')
   WHERE w.task_id = t.id;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no pull request to wait for', t.id), 'note_pull_v1 comes first');
  END IF;
  IF p_waits_for IN ('review', 'turn') THEN
    DELETE FROM juggernaut.trains r WHERE r.task_id = t.id;
  END IF;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'parked', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'awaiting_merge', attempts = g.attempts - 1, assigned_worker = g.assignment,
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;

-- The watches whose time has come, each given to one asker; what waited too long is blocked.
CREATE FUNCTION juggernaut.take_watches_v1(p_most integer)
RETURNS TABLE (task_id uuid, fence bigint, status text, repo text, branch text, number bigint, head text, stamp text, waits_for text, next_in_train boolean, handled text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  w juggernaut.pull_watches;
  t public.governance_tasks;
  v_now timestamptz := clock_timestamp();
BEGIN
  FOR w IN
    SELECT x.* FROM juggernaut.pull_watches x JOIN public.governance_tasks g ON g.id = x.task_id
     WHERE (x.next_look_at <= v_now OR juggernaut.next_in_train(x))
       AND ((g.status = 'awaiting_merge' AND x.waiting)
            OR (g.status = 'waiting_approval' AND juggernaut.threshold('forge_reviews_approve') = 1)
            OR g.status IN ('cancelled', 'rejected')
            OR (g.status = 'completed' AND g.completed_at <= v_now - juggernaut.seconds('branch_keep_seconds')))
     ORDER BY x.next_look_at, x.task_id LIMIT least(p_most, 100) FOR NO KEY UPDATE OF x SKIP LOCKED
  LOOP
    UPDATE juggernaut.pull_watches x
       SET next_look_at = v_now + greatest(juggernaut.seconds('pull_look_seconds'),
                                           least(juggernaut.seconds('pull_look_most_seconds'), (v_now - x.changed_at) / 4))
     WHERE x.task_id = w.task_id;
    SELECT * INTO t FROM public.governance_tasks g WHERE g.id = w.task_id;
    IF t.status = 'awaiting_merge' AND w.since + juggernaut.seconds('pull_wait_seconds') <= v_now THEN
      UPDATE juggernaut.pull_watches x SET waiting = false WHERE x.task_id = w.task_id;
      UPDATE public.governance_tasks g SET status = 'blocked', fence = g.fence + 1, assigned_worker = g.assignment, blocked_at = v_now,
             blocked_reason = left(format('pull request #%s waited too long: %s', w.number, w.reason), 4000),
             blocked_owner = 'a person: look at the pull request, then retry_task or cancel_task' WHERE g.id = t.id AND g.status = 'awaiting_merge';
      CONTINUE;
    END IF;
    RETURN QUERY SELECT w.task_id, t.fence, t.status, w.repo, w.branch, w.number, w.head, w.stamp, w.waits_for, juggernaut.next_in_train(w),
      coalesce((SELECT array_agg(n.key) FROM juggernaut.pull_news n WHERE n.task_id = w.task_id AND n.done_at IS NOT NULL), '{}');
  END LOOP;
END
$$;

-- What a look found. News bring the task back, first in its lane; what it is worth is found by the
-- attempt that follows, with a look of its own, so a lie here gains nothing.
CREATE FUNCTION juggernaut.saw_pull_v1(p_task uuid, p_fence bigint, p_stamp text, p_kind text, p_key text, p_said text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
BEGIN
  SELECT g.* INTO t FROM public.governance_tasks g JOIN juggernaut.pull_watches w ON w.task_id = g.id AND w.waiting
   WHERE g.id = p_task AND g.fence = p_fence AND g.status = 'awaiting_merge' FOR NO KEY UPDATE OF g;
  IF t.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF p_kind IS NULL THEN
    UPDATE juggernaut.pull_watches w SET stamp = p_stamp, changed_at = clock_timestamp() WHERE w.task_id = t.id AND w.stamp <> p_stamp;
    RETURN t.status;
  END IF;
  INSERT INTO juggernaut.pull_news (task_id, kind, key, said) VALUES (t.id, p_kind, left(p_key, 400), left(coalesce(p_said, ''), 8000))
    ON CONFLICT (task_id, key) DO NOTHING;
  UPDATE juggernaut.pull_watches w SET waiting = false, stamp = p_stamp, changed_at = clock_timestamp() WHERE w.task_id = t.id;
  UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1, run_after = NULL WHERE g.id = t.id;
  -- Ten years early: among its like it has waited longest. The lane's floor must let it through.
  UPDATE public.governance_tasks g SET claim_key = g.claim_key - 315576000000 WHERE g.id = t.id AND g.ready RETURNING g.* INTO t;
  UPDATE juggernaut.lanes l SET floor_key = t.claim_key WHERE l.lane = t.lane AND l.floor_key > t.claim_key;
  RETURN 'pending';
END
$$;

-- A webhook's hint: ask the forge now.
CREATE FUNCTION juggernaut.hurry_pull_v1(p_repo text, p_number bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_watches w SET next_look_at = clock_timestamp() WHERE w.repo = p_repo AND w.number = p_number;
  RETURN FOUND;
END
$$;

-- The duty has cleared up after a task that is over: nothing is left to look at.
CREATE FUNCTION juggernaut.drop_watch_v1(p_task uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  DELETE FROM juggernaut.pull_watches w USING public.governance_tasks g
   WHERE w.task_id = p_task AND g.id = w.task_id AND g.status IN ('completed', 'cancelled', 'rejected');
  RETURN FOUND;
END
$$;

-- A round of mending, counted before it begins. When there is none left the count starts again, for
-- the person who has the task then and may send it back for as many more.
CREATE FUNCTION juggernaut.count_round_v1(p_task uuid, p_fence bigint, p_secret uuid, p_kind text, p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_round integer;
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  UPDATE juggernaut.pull_watches w SET fixes = w.fixes + CASE p_kind WHEN 'fix' THEN 1 ELSE 0 END,
         updates = w.updates + CASE p_kind WHEN 'update' THEN 1 ELSE 0 END
   WHERE w.task_id = t.id RETURNING CASE p_kind WHEN 'fix' THEN w.fixes ELSE w.updates END INTO v_round;
  IF v_round > p_most THEN
    UPDATE juggernaut.pull_watches w SET fixes = CASE p_kind WHEN 'fix' THEN 0 ELSE w.fixes END,
           updates = CASE p_kind WHEN 'update' THEN 0 ELSE w.updates END WHERE w.task_id = t.id;
    RETURN 0;
  END IF;
  RETURN coalesce(v_round, 1);
END
$$;

CREATE FUNCTION juggernaut.handle_news_v1(p_task uuid, p_fence bigint, p_secret uuid, p_kind text, p_keys text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO juggernaut.pull_news (task_id, kind, key, done_at) SELECT t.id, p_kind, left(k, 400), clock_timestamp() FROM unnest(p_keys) k
    ON CONFLICT (task_id, key) DO UPDATE SET done_at = coalesce(pull_news.done_at, excluded.done_at);
  RETURN true;
END
$$;

-- The turn to merge: one task of a repository at a time. Gives who has it; no row: the lease is lost.
CREATE FUNCTION juggernaut.take_turn_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text) RETURNS TABLE (holder uuid, title text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_holder uuid;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO juggernaut.trains (repo) VALUES (p_repo) ON CONFLICT (repo) DO NOTHING;
  PERFORM FROM juggernaut.trains r WHERE r.repo = p_repo FOR UPDATE;
  v_holder := coalesce(juggernaut.turn_of(p_repo), t.id);
  IF v_holder = t.id THEN
    UPDATE juggernaut.trains r SET task_id = t.id, until = clock_timestamp() + juggernaut.seconds('train_seconds') WHERE r.repo = p_repo;
  END IF;
  RETURN QUERY SELECT g.id, g.title FROM public.governance_tasks g WHERE g.id = v_holder;
END
$$;

CREATE FUNCTION juggernaut.leave_turn_v1(p_task uuid, p_fence bigint, p_secret uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  DELETE FROM juggernaut.trains r WHERE r.task_id = t.id;
  RETURN t.id IS NOT NULL;
END
$$;

-- Footprints -------------------------------------------------------------------------------------
-- Whether two paths, folders or patterns (* and **, ?) may name the same file; when in doubt, yes.
CREATE FUNCTION juggernaut.path_pattern(p_path text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT '^' || replace(replace(replace(replace(regexp_replace(p_path, '([.+^$(){}|\[\]\\])', '\\\1', 'g'), '?', '[^/]'), '**', chr(1)), '*', '[^/]*'), chr(1), '.*') || '$'
$$;
CREATE FUNCTION juggernaut.paths_meet(a text, b text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT CASE
    WHEN a !~ '[*?]' AND b !~ '[*?]' THEN a = b OR starts_with(b, rtrim(a, '/') || '/') OR starts_with(a, rtrim(b, '/') || '/')
    WHEN a !~ '[*?]' THEN a ~ juggernaut.path_pattern(b) OR starts_with(substring(b FROM '^[^*?]*'), rtrim(a, '/') || '/')
    WHEN b !~ '[*?]' THEN b ~ juggernaut.path_pattern(a) OR starts_with(substring(a FROM '^[^*?]*'), rtrim(b, '/') || '/')
    ELSE starts_with(substring(a FROM '^[^*?]*'), substring(b FROM '^[^*?]*')) OR starts_with(substring(b FROM '^[^*?]*'), substring(a FROM '^[^*?]*'))
  END
$$;

-- Begins work on files, or puts it off, uncounted, while somebody else works on them. An older task
-- that was put off goes first, and what was put off too often starts all the same.
CREATE FUNCTION juggernaut.begin_files_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text, p_files text[]) RETURNS TABLE (go boolean, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  other record;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO juggernaut.trains (repo) VALUES (p_repo) ON CONFLICT (repo) DO NOTHING;
  PERFORM FROM juggernaut.trains r WHERE r.repo = p_repo FOR UPDATE; -- two that begin at once see each other
  INSERT INTO juggernaut.footprints AS f (task_id, repo, planned) VALUES (t.id, p_repo, p_files[1:200])
    ON CONFLICT ON CONSTRAINT footprints_pkey DO UPDATE SET repo = excluded.repo, planned = excluded.planned, began = false;
  SELECT g.id, g.title INTO other
    FROM juggernaut.footprints f JOIN public.governance_tasks g ON g.id = f.task_id
   WHERE f.repo = p_repo AND f.task_id <> t.id
     AND ((g.status = 'in_progress' AND f.began) OR (g.status = 'pending' AND f.deferrals > 0 AND (g.created_at, g.id) < (t.created_at, t.id)))
     AND EXISTS (SELECT FROM unnest(f.planned || f.actual) a CROSS JOIN unnest(p_files[1:200]) b WHERE juggernaut.paths_meet(a, b))
   ORDER BY g.created_at, g.id LIMIT 1;
  IF other.id IS NULL OR (SELECT f.deferrals FROM juggernaut.footprints f WHERE f.task_id = t.id) >= juggernaut.threshold('footprint_deferrals') THEN
    UPDATE juggernaut.footprints f SET began = true, deferrals = 0, waits_for = NULL WHERE f.task_id = t.id;
    RETURN QUERY SELECT true, ''::text;
    RETURN;
  END IF;
  UPDATE juggernaut.footprints f SET deferrals = f.deferrals + 1, waits_for = other.id WHERE f.task_id = t.id;
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'released', 'released', format('task %s works on the same files', other.id));
  UPDATE public.governance_tasks g SET status = 'pending', attempts = g.attempts - 1, assigned_worker = g.assignment,
         run_after = clock_timestamp() + juggernaut.seconds('footprint_seconds'),
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN QUERY SELECT false, format('task %s "%s" works on the same files', other.id, left(other.title, 60));
END
$$;

CREATE FUNCTION juggernaut.note_files_v1(p_task uuid, p_fence bigint, p_secret uuid, p_repo text, p_files text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO juggernaut.footprints (task_id, repo, actual, began) VALUES (t.id, p_repo, p_files[1:200], true)
    ON CONFLICT (task_id) DO UPDATE SET actual = excluded.actual, began = true;
  RETURN true;
END
$$;

-- Row-lock mode ----------------------------------------------------------------------------------
-- Held by an open transaction from the fence check to the record of an effect. The lock is the
-- weakest that a claim and a sweep (FOR UPDATE SKIP LOCKED) respect: the attempt's own fenced writes
-- go on beside it.
CREATE FUNCTION juggernaut.effect_lock_v1(p_task uuid, p_fence bigint, p_secret uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
BEGIN
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = p_task FOR KEY SHARE;
  RETURN coalesce(t.status = 'in_progress' AND t.fence = p_fence AND t.lease_hash = juggernaut.hash(p_secret)
    AND t.lease_login = juggernaut.acting() AND t.lease_until > clock_timestamp()
    AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = t.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()), false);
END
$$;

-- A learning of an attempt that ends without completing.
CREATE FUNCTION juggernaut.learn_v1(p_task uuid, p_fence bigint, p_secret uuid, p_learning jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO public.learnings (task_id, worker_id, category, title, description, impact_score, tags, source, scope)
    VALUES (t.id, t.assigned_worker, p_learning ->> 'category', p_learning ->> 'title', p_learning ->> 'description',
            (p_learning ->> 'impact')::numeric, coalesce(p_learning -> 'tags', '[]'), 'attempt', t.repo);
  RETURN true;
END
$$;

-- Who is who at a forge --------------------------------------------------------------------------
CREATE TABLE juggernaut.forge_people (
  forge text NOT NULL CHECK (length(forge) BETWEEN 1 AND 40),
  forge_login text NOT NULL CHECK (length(forge_login) BETWEEN 1 AND 100),
  login text NOT NULL CHECK (length(login) BETWEEN 1 AND 63),
  PRIMARY KEY (forge, forge_login)
);
GRANT SELECT ON juggernaut.forge_people TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
CREATE TRIGGER audit_row AFTER INSERT OR UPDATE OR DELETE ON juggernaut.forge_people FOR EACH ROW EXECUTE FUNCTION juggernaut.audit_row('{forge,forge_login}', '{}');
ALTER TABLE juggernaut.forge_people ENABLE ALWAYS TRIGGER audit_row;

CREATE FUNCTION public.map_forge_login(forge_login text, login text, forge text DEFAULT 'github') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not map a login: an operator does that', juggernaut.acting()));
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = map_forge_login.login AND r.rolcanlogin)
     OR NOT pg_has_role(map_forge_login.login, 'juggernaut_approver', 'MEMBER') OR pg_has_role(map_forge_login.login, 'juggernaut_worker', 'MEMBER') THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no approver''s login', map_forge_login.login), 'juggernaut login create approver NAME');
  END IF;
  INSERT INTO juggernaut.forge_people AS p (forge, forge_login, login)
    VALUES (map_forge_login.forge, lower(map_forge_login.forge_login), map_forge_login.login)
    ON CONFLICT ON CONSTRAINT forge_people_pkey DO UPDATE SET login = excluded.login;
END
$$;

-- An approving review of exactly the head that the open request is about, reported by a worker. The
-- database cannot ask the forge, so this is a worker's word: it counts only where the operator set
-- forge_reviews_approve, and only as the approver's login that the operator mapped.
CREATE FUNCTION juggernaut.forge_review_v1(p_task uuid, p_forge text, p_forge_login text, p_sha text, p_review text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  a public.approvals;
  v_login text;
  v_have integer;
BEGIN
  IF juggernaut.threshold('forge_reviews_approve') IS DISTINCT FROM 1 THEN
    RETURN 'off';
  END IF;
  SELECT p.login INTO v_login FROM juggernaut.forge_people p WHERE p.forge = p_forge AND p.forge_login = lower(p_forge_login);
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = p_task AND g.status = 'waiting_approval' FOR NO KEY UPDATE;
  SELECT * INTO a FROM public.approvals x WHERE x.task_id = t.id AND x.status = 'pending' AND x.gate = 'diff' FOR UPDATE;
  IF v_login IS NULL OR a.id IS NULL OR a.body ->> 'head' IS DISTINCT FROM p_sha
     OR v_login IN (t.created_by, a.requested_by) OR EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = t.id AND e.login = v_login)
     OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = v_login)
     OR NOT pg_has_role(v_login, 'juggernaut_approver', 'MEMBER') THEN
    RETURN 'no';
  END IF;
  INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision, note)
    VALUES (a.id, a.requested_at, v_login, 'approved', format('review %s by %s at %s, reported by %s', left(p_review, 100), left(p_forge_login, 100), left(p_forge, 40), juggernaut.acting()))
    ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN 'known';
  END IF;
  PERFORM juggernaut.record_event('approval.approved', t.id::text, NULL,
    jsonb_build_object('gate', a.gate, 'digest', a.digest, 'login', v_login, 'review', left(p_review, 100), 'reported_by', juggernaut.acting()));
  SELECT count(DISTINCT d.decided_by) INTO v_have FROM juggernaut.decision_log d
   WHERE d.approval_id = a.id AND d.asked_at = a.requested_at AND d.decision = 'approved';
  IF v_have < greatest(a.need, juggernaut.approvers_of(t)) THEN
    RETURN 'more';
  END IF;
  UPDATE public.approvals x SET need = greatest(a.need, juggernaut.approvers_of(t)), status = 'approved', decided_at = clock_timestamp() WHERE x.id = a.id;
  UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1 WHERE g.id = t.id; -- who decided stands in decisions
  RETURN 'approved';
END
$$;

GRANT EXECUTE ON FUNCTION juggernaut.note_pull_v1(uuid, bigint, uuid, text, text, bigint, text),
  juggernaut.park_pull_v1(uuid, bigint, uuid, text, text, text, text), juggernaut.take_watches_v1(integer),
  juggernaut.saw_pull_v1(uuid, bigint, text, text, text, text), juggernaut.hurry_pull_v1(text, bigint), juggernaut.drop_watch_v1(uuid),
  juggernaut.count_round_v1(uuid, bigint, uuid, text, integer), juggernaut.handle_news_v1(uuid, bigint, uuid, text, text[]),
  juggernaut.take_turn_v1(uuid, bigint, uuid, text), juggernaut.leave_turn_v1(uuid, bigint, uuid),
  juggernaut.begin_files_v1(uuid, bigint, uuid, text, text[]), juggernaut.note_files_v1(uuid, bigint, uuid, text, text[]),
  juggernaut.effect_lock_v1(uuid, bigint, uuid), juggernaut.learn_v1(uuid, bigint, uuid, jsonb),
  juggernaut.forge_review_v1(uuid, text, text, text, text)
  TO juggernaut_worker;

-- Merges that plain-SQL workers reported are asked about as before; these wait under a watch.
CREATE OR REPLACE FUNCTION juggernaut.awaiting_merge_v1() RETURNS TABLE (id uuid, fence bigint, repo text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT t.id, t.fence, t.repo FROM public.governance_tasks t
   WHERE t.status = 'awaiting_merge' AND NOT EXISTS (SELECT FROM juggernaut.pull_watches w WHERE w.task_id = t.id AND w.waiting)
   ORDER BY t.created_at, t.id LIMIT 100
$$;

CREATE OR REPLACE FUNCTION juggernaut.confirm_merge_v1(p_task uuid, p_fence bigint, p_state text, p_shown text) RETURNS text
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
   WHERE g.id = p_task AND g.fence = p_fence AND g.status = 'awaiting_merge'
     AND NOT EXISTS (SELECT FROM juggernaut.pull_watches w WHERE w.task_id = g.id AND w.waiting) FOR NO KEY UPDATE;
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
  ELSIF t.status = 'awaiting_merge' AND EXISTS (SELECT FROM juggernaut.pull_watches w WHERE w.task_id = t.id AND w.waiting) THEN
    RETURN QUERY SELECT format('pull request #%s: %s', w.number, w.reason), w.owner, w.since + juggernaut.seconds('pull_wait_seconds')
      FROM juggernaut.pull_watches w WHERE w.task_id = t.id;
  ELSIF t.status = 'awaiting_merge' THEN
    RETURN QUERY SELECT format('%s reported a merge; the forge has not confirmed it yet', coalesce(t.assigned_worker, 'a worker')),
      'the swarm: an executor asks the forge'::text,
      coalesce((SELECT x.ended_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence), t.started_at)
        + juggernaut.seconds('merge_confirm_seconds');
  ELSIF EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id)) THEN
    RETURN QUERY SELECT format('paused (%s) by %s: %s', c.scope, c.paused_by, c.reason), 'a person: resume_swarm'::text, NULL::timestamptz
      FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id) LIMIT 1;
  ELSIF t.due_at > clock_timestamp() AND EXISTS (SELECT FROM juggernaut.footprints f WHERE f.task_id = t.id AND f.waits_for IS NOT NULL) THEN
    RETURN QUERY SELECT format('task %s "%s" works on the same files; tried again at %s', h.id, left(h.title, 60), to_char(t.due_at, 'HH24:MI:SS')),
      'that task'::text, t.due_at
      FROM juggernaut.footprints f JOIN public.governance_tasks h ON h.id = f.waits_for WHERE f.task_id = t.id;
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
