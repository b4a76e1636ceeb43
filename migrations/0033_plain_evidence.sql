-- What a plain-SQL worker says of its work is still only its word. But words that say that the work is
-- red, that name nothing, or that pass over a criterion complete no task any more.
SET LOCAL ROLE juggernaut_owner;

-- Each count and each exit code that the words state, with the words. A value of '?' is bad without a
-- number ("some tests failed"); what is not stated has no row.
CREATE FUNCTION juggernaut.stated(said text) RETURNS TABLE (fact text, value text, words text)
LANGUAGE plpgsql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  -- "1,000 failed" is not 0, and of "3/12 passed" or "3 of the 12 passed" it is the 3.
  num CONSTANT text := '([0-9]+(?:[.,_''][0-9]+)*)';
  many CONSTANT text := '\m' || num || '(?:\s*(?:/|\mof\M|\mout of\M)\s*(?:the\s+|all\s+)?[0-9]+)?';
  -- Up to five words between a number and its result, none of which says a result of its own.
  gap CONSTANT text := '(?:[\s-]+(?!(?:pass|fail|error)|(?:no|none|not|nothing|never|zero|neither|should|would|could|might|must|will|cannot)\M)[a-z()''-]+){0,5}';
  pass CONSTANT text := 'pass(?:ed|es|ing)?';
  fail CONSTANT text := 'fail(?:ed|s|ing|ures?)?';
  none CONSTANT text := '\m(?:no|none|zero|nothing|without)(?:\s+(?:of|them|these|those|the|any|unit|integration|tests?|cases?|checks?|has|have))*\s+';
  every CONSTANT text := 'all' || gap || '[\s-]+(?:[0-9]+' || gap || '[\s-]+)?' || pass || '\M';
  good CONSTANT text := none || fail || '\M|\m0(?:\s*(?:/|of)\s*[0-9]+)?' || gap || '[\s-]+' || fail || '\M|\m' || fail || '["'']?\s*[:=]\s*0\M';
  rest text := regexp_replace(said, good, ' ', 'gi');
BEGIN
  RETURN QUERY
    SELECT f.fact, coalesce(f.value, regexp_replace(m[2], '[^0-9]', '', 'g')), btrim(left(regexp_replace(m[1], '\s+', ' ', 'g'), 100))
      FROM (VALUES
             ('passed', NULL, said, many || gap || '[\s-]+' || pass || '\M'),
             ('passed', NULL, said, '\m' || pass || '["'']?\s*[:=]\s*' || num || '\M(?!' || gap || '[\s-]+(?:pass|fail))'),
             ('passed', '0', said, none || pass || '\M'),
             ('failed', NULL, said, many || gap || '[\s-]+' || fail || '\M'),
             ('failed', NULL, said, '\m' || fail || '["'']?\s*[:=]\s*' || num || '\M(?!' || gap || '[\s-]+(?:pass|fail))'),
             ('failed', '0', said, none || fail || '\M'),
             ('failed', '0', said, '(?<!\m(?:not|nearly|almost)\s+)\m' || every),
             ('failed', '?', said, '\m(?:not|nearly|almost)\s+' || every),
             ('failed', '?', said, '\m[1-9][0-9]*' || gap || '[\s-]+errors?\M|\merrors?["'']?\s*[:=]\s*[1-9][0-9]*'),
             ('failed', '?', rest, '\m(?:some|several|many|most|few|half|rest|others?|all|both|everything|suite|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)'
                                   '(?:\s+(?:of|the|them|unit|integration|tests?|cases?|checks?|is|are|was|were|has|have)){0,4}\s+' || fail || '\M'),
             ('failed', '?', rest, '\m(?!(?:that|which|what)\M)[[:alpha:]_](?:[\w.:/]*\w)?\s+(?:has\s+|have\s+)?fail(?:ed|s|ing)(?=\s*(?:[,;.!)\n]|$))'),
             ('exit_code', NULL, said, '\mexit[a-z]*(?:[\s:=_"''`*()-]*(?:with|code|status|value|was|is|of|a|the)(?![a-z]))*[\s:=_"''`*()-]*' || num || '(?!\w|[.,][0-9])'),
             ('exit_code', NULL, said, '\mexit[^;.\n]{1,60}\mgot\s+' || num || '\M'),
             ('exit_code', '?', said, '(?:\mnot|\mnever|n''t)\s+(?:[a-z]+\s+){0,2}exit[a-z]*')
           ) AS f (fact, value, text, form), regexp_matches(f.text, '(' || f.form || ')', 'gi') AS m;
END
$$;

-- The named checks that the words give a result of: "lint: ok", "types = passed", "| links | fail |".
-- A name such as "result" names no check, but what is bad about it is bad.
CREATE FUNCTION juggernaut.checks_stated(said text) RETURNS TABLE (good boolean, words text)
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT c.good, c.words
    FROM (SELECT m[3] ~* '^(pass|ok|met|succe|green|exit\D*0$)' AS good,
                 btrim(left(regexp_replace(m[1], '\s+', ' ', 'g'), 100)) AS words, btrim(m[2], E' \t\r*#>_`"''.()[]-') AS name
            FROM regexp_matches(said, '(([[:alnum:]_][^:=;,|\n]{0,120})(?::|=+>?|->|\s-+\s|\|)[\s*_`"''([]*'
                   '(pass(?:ed|es|ing)?|ok|okay|met|success|successful|succeeded|green|exit[a-z]*[ :=_-]*(?:code|status|with)?[ :=_-]*[0-9]+'
                   '|fail(?:ed|s|ing|ure)?|broken|unmet|missing|nok|not\s+[a-z]+|errors?(?=\s*(?:[,;.|)\n]|$)))(?![\w/]))', 'gi') AS m) c
   WHERE NOT c.good
      OR c.name ~* '[[:alpha:]]' AND c.name !~* '^(the |my |over-?all )*(results?|status|state|all|everything|notes?|summary|verdict|outcome|conclusion|work|task|it|done|verification|checks?)$'
$$;

-- What in these words says that the work is red: judged as the verifier's facts are.
CREATE FUNCTION juggernaut.red_words(p_type text, said text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT r.words
    FROM (SELECT s.words FROM juggernaut.task_types y, juggernaut.stated(said) s
           WHERE y.task_type = p_type AND p_type <> 'code'
             AND (s.fact = ANY (y.required_facts) OR p_type = 'verification' AND s.fact IN ('passed', 'failed'))
             AND (juggernaut.fact_is_wrong(s.fact, jsonb_build_object(s.fact, s.value)) OR length(s.value) > 9)
          UNION ALL
          SELECT c.words FROM juggernaut.checks_stated(said) c WHERE p_type = 'verification' AND NOT c.good) r
   LIMIT 1
$$;

-- What a worker says of its work has to have the form of its type, and words instead of filler.
CREATE OR REPLACE FUNCTION juggernaut.lacking(p_task uuid, p_type text, said text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  url CONSTANT text := 'https?://[[:alnum:]][\w-]*(\.[[:alnum:]][\w-]*)+|https?://[[:alnum:]][\w-]*(:[0-9]+)?/[[:alnum:]]';
  -- Without a folder a name needs an ending of documents: "e.g" is no file, and "and/or" no place.
  path CONSTANT text := '[\w.-]*/[\w.-]*\w\.([a-z][a-z0-9]{1,4}|[A-Z][A-Z0-9]{1,4})\M';
  file CONSTANT text := '\w\.(md|markdown|rst|txt|adoc|asciidoc|tex|html?|pdf|ipynb|docx?|odt|py|sql|ya?ml|toml|json)\M';
BEGIN
  IF (SELECT count(DISTINCT lower(w[1])) FROM regexp_matches(said, '[[:alnum:]]+', 'g') AS w) < 5 THEN
    RETURN 'facts in at least five different words';
  END IF;
  RETURN CASE
    WHEN p_type = 'code' AND said !~ 'https://[^\s]+/pull/[0-9]+' THEN 'the URL of the merged pull request'
    WHEN p_type = 'documentation' AND said !~* url AND said !~ path AND said !~* file THEN 'where the document is: a path with its file name, or a URL'
    WHEN p_type = 'test' AND (SELECT count(DISTINCT s.fact) FROM juggernaut.stated(said) s WHERE s.fact IN ('passed', 'failed')) < 2
      THEN 'pass and fail counts, such as "12 passed, 0 failed"'
    WHEN p_type = 'research' AND (said !~* url OR (SELECT count(DISTINCT lower(w[1])) FROM regexp_matches(regexp_replace(said, '\S*://\S*', ' ', 'g'), '[[:alnum:]]+', 'g') AS w) < 5)
      THEN 'a summary, and the sources that it rests on by URL'
    WHEN p_type = 'verification' AND NOT EXISTS (SELECT FROM juggernaut.checks_stated(said) c WHERE c.good) THEN 'each check with its result, such as "lint: pass"'
    WHEN p_type = 'command' AND NOT EXISTS (SELECT FROM juggernaut.stated(said) s WHERE s.fact = 'exit_code') THEN 'the command and its exit code'
    WHEN p_type = 'planning' AND NOT EXISTS (SELECT FROM public.governance_tasks c WHERE c.parent_task_id = p_task) THEN 'tasks that it created'
    WHEN p_type = 'report' AND NOT EXISTS (SELECT FROM public.reports r WHERE r.task_id = p_task) THEN 'a report that was saved'
    WHEN p_type = 'strategy' AND NOT EXISTS (SELECT FROM public.recommendations r WHERE r.task_id = p_task) THEN 'recommendations that were saved'
  END;
END
$$;

-- A verdict is what was said of this criterion or what a person accepted, never what nobody said.
CREATE FUNCTION juggernaut.say_verdicts(t public.governance_tasks, said text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  met CONSTANT text := '[\s*_`"''([]*met(?![\w?-])';
  v_unmet text;
  v_told jsonb;
  v_unsaid text;
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.criteria c WHERE c.task_id = t.id) THEN
    RETURN;
  END IF;
  SELECT m[1] INTO v_unmet
    FROM regexp_matches(said, '(\mcriterion\s*#?[0-9]+\s*(?:[:=-]+(?![:=-])|\mis\M)(?!' || met || ')[\s*_`"''([]*[^\s,;.]*(?:[ ][^\s,;.]+)?'
                              '|\munmet\M|(?:\mnot|n''t)\s+(?:[a-z]+\s+)?met\M)', 'gi') AS m LIMIT 1;
  IF v_unmet IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for task %s says "%s": a task completes when each of its criteria is met', t.id, left(v_unmet, 100)),
                              'mark it as failed with an error_message, or mend it and say of each criterion N: "criterion N: met"');
  END IF;
  SELECT coalesce(jsonb_object_agg(m[2]::integer, btrim(m[1])), '{}') INTO v_told
    FROM regexp_matches(said, '(\mcriterion\s*#?([0-9]{1,4})\s*(?:[:=-]+|\mis\M)?' || met || ')', 'gi') AS m;
  SELECT string_agg(format('"criterion %s: met" (%s)', c.number, left(c.text, 80)), ', ' ORDER BY c.number) INTO v_unsaid
    FROM juggernaut.criteria c WHERE c.task_id = t.id AND c.accepted_by IS NULL AND NOT v_told ? c.number::text;
  IF v_unsaid IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for task %s must state a result for each criterion; it lacks %s', t.id, v_unsaid),
                              'write these words where they are true; what is not met is no completion: mark the task as failed');
  END IF;
  INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
    SELECT t.id, t.fence, c.number, 'met', CASE WHEN c.accepted_by IS NULL THEN 'self-reported' ELSE 'person' END,
           jsonb_strip_nulls(jsonb_build_object('said', v_told -> c.number::text, 'accepted_by', c.accepted_by, 'note', c.accepted_note))
      FROM juggernaut.criteria c WHERE c.task_id = t.id;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.self_reported(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  said text := new.completion_evidence;
  missing text := juggernaut.lacking(old.id, old.task_type, said);
  red text := juggernaut.red_words(old.task_type, said);
BEGIN
  IF red IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task says "%s": work that is red is not complete', old.task_type, red),
                              'mark it as failed with an error_message, or mend it, run it again and state that run alone');
  END IF;
  IF missing IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task must name %s', old.task_type, missing));
  END IF;
  INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
    SELECT old.id, old.fence, old.task_type,
           jsonb_strip_nulls(jsonb_build_object('self_reported', said, 'worker', old.assigned_worker, 'pull_url', substring(said FROM 'https://[^\s]+/pull/[0-9]+'),
             'passed', max(s.number) FILTER (WHERE s.fact = 'passed'), 'failed', max(s.number) FILTER (WHERE s.fact = 'failed'),
             'exit_code', max(s.number) FILTER (WHERE s.fact = 'exit_code'))),
           'self-reported', juggernaut.acting()
      FROM (SELECT x.fact, x.value::bigint AS number FROM juggernaut.stated(said) x WHERE x.value ~ '^[0-9]{1,9}$') s
    RETURNING id INTO new.evidence_id;
  IF old.task_type = 'code' THEN
    new.status := 'awaiting_merge'; -- a claim of a merge; the forge has the last word, and the verifier that on the criteria
    new.completed_at := NULL;
  ELSE
    PERFORM juggernaut.say_verdicts(old, said);
    new.completed_at := clock_timestamp();
  END IF;
  RETURN new;
END
$$;
