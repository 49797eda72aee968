//! Faithful simulator of the SaaS APIs with quotas and faults.
