//! The values that examples of the document are made of.
//!
//! One person signs in through all of it, so that the examples tell one story. The tests put values of a running server
//! in their place and send them.

/// Her number.
pub const NUMBER: &str = "+989123456789";
/// The number she moves to.
pub const NEW_NUMBER: &str = "+989351112233";
/// The code she got.
pub const CODE: &str = "482915";
/// Her verification.
pub const VERIFICATION_ID: &str = "ver_6f1d0c9be8a7452f93d8c14e07b2a65d";
/// The receipt of the approved check.
pub const RECEIPT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6InJlY2VpcHQrand0In0.e30.c2lnbmF0dXJl";
/// Her access token.
pub const ACCESS_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl";
/// Her refresh token.
pub const REFRESH_TOKEN: &str = "rt_3kVq0mFh2bXcP9yLw8TzRg";
/// What lets her register with a password, where that is done.
pub const REGISTRATION_TOKEN: &str = "fef8702768384d1d88a2e1454e6c749c";
/// Her session.
pub const SID: &str = "0b6e2c5d9f48317aa1d3f7e6c4b28590";
/// What a client has to solve.
pub const CHALLENGE: &str = "fWqTqj1yQ6wAAAGbdw7-gBJX0Zm3mPq2uYQ5r8cLkVbN";
/// Of a request.
pub const REQUEST_ID: &str = "4c1f6a2e9b0d3578000000a1";
/// When it all begins.
pub const TIME: &str = "2026-01-01T00:00:00.000Z";
