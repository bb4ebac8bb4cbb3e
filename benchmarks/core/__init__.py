"""The core: a model, a task, a job, a result, and one runner under everything that judges."""
