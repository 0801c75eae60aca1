"""Breaking things on purpose, with real processes: nothing may be lost, nothing answered twice."""
