SELECT * FROM (SELECT DISTINCT ON (author) * FROM juggernaut.pull_reviews WHERE number = $1 ORDER BY author, id DESC) newest
 WHERE state <> 'dismissed' ORDER BY id LIMIT 100
