//! What leaves the process: calls of web services, mail, reports and alerts.
