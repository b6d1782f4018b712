//! Front end of a server: connection limits, TLS certificate and bearer tokens. The routes decide
//! what is served, and to whom.

pub mod listen;
pub mod tls;
pub mod tokens;
