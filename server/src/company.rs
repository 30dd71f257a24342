//! The one company of this server.

/// Id of the one company that this server has, the same as a stock server's default.
pub(crate) const COMPANY: &str = "d1bd92a3b039400cbafc60a7a5b1e52b";

/// Name of that company.
pub(crate) const COMPANY_NAME: &str = "clearml";
