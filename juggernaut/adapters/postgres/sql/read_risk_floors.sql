SELECT task_type, risk_floor FROM juggernaut.task_types
