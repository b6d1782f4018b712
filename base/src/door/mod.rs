//! The door of a server: which connections it holds and for how long, and the certificate that it shows. What is served behind
//! it, and to whom, is the routes' affair.

pub mod listen;
pub mod tls;
pub mod tokens;
