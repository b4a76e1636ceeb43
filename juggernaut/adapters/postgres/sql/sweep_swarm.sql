SELECT juggernaut.sweep_v1() AS counts
