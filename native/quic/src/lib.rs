//! A QUIC endpoint driven by one native thread.
//!
//! It knows QUIC, sockets, forwarding of opaque datagrams and splicing; it does not know services,
//! policies or the frames of the control protocol. Start reading at [`engine`].

pub mod cid;
pub mod engine;
pub mod fairqueue;
pub mod fragment;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod tls;
pub mod token;
