SELECT juggernaut.metrics_v1($1) AS metrics
