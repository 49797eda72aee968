//! Executes a run: read, plan, write, checkpoint, recover.
