"""Run models: a guarded child process, evaluation of constant regions, verification and paired timing."""
