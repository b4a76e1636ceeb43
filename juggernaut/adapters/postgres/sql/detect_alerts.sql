SELECT juggernaut.detect_v1() AS counts
