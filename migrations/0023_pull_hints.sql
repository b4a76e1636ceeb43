-- Hints that a pull request moved, the merge queue of a forge, and functions that nobody calls.
SET LOCAL ROLE juggernaut_owner;

-- A head that was put into the forge's merge queue: what leaves the queue unmerged is known by it.
ALTER TABLE juggernaut.pull_news DROP CONSTRAINT pull_news_kind_check;
ALTER TABLE juggernaut.pull_news ADD CONSTRAINT pull_news_kind_check CHECK (kind IN (
  'checks_green', 'checks_red', 'changes_requested', 'comments', 'behind', 'conflict', 'closed', 'merged', 'head_moved', 'flaky', 'queued'));

-- A webhook names owner/name; a task may name the same repository by an address, in any case.
CREATE OR REPLACE FUNCTION juggernaut.hurry_pull_v1(p_repo text, p_number bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  UPDATE juggernaut.pull_watches w SET next_look_at = clock_timestamp()
   WHERE w.number = p_number AND w.waiting AND w.next_look_at > clock_timestamp()
     AND lower(regexp_replace(w.repo, '^(https?://[^/]+/|git@[^:]+:)|(\.git)?/*$', '', 'g')) = lower(p_repo);
  RETURN FOUND;
END
$$;

DROP FUNCTION juggernaut.put_off_v1(uuid, bigint, uuid, text, numeric);
DROP FUNCTION juggernaut.reserve_v1(uuid, bigint, uuid, text, text, text, numeric);
-- Drafts came with pull_open_v2, which goes through this one; nobody else does.
REVOKE EXECUTE ON FUNCTION juggernaut.pull_open_v1(text, text, text, text, text, text) FROM juggernaut_worker;
